/* replaced by the room's first file */ extern int change_placeholder; int change_placeholder;
