/* replaced by the room's first file */ extern int base_placeholder; int base_placeholder;
