/* replaced by the room's first file */ extern int app_placeholder; int app_placeholder;
