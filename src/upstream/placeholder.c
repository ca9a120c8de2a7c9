/* replaced by the room's first file */ extern int upstream_placeholder; int upstream_placeholder;
