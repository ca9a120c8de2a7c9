/* replaced by the room's first file */ extern int source_placeholder; int source_placeholder;
