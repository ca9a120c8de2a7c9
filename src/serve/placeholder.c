/* replaced by the room's first file */ extern int serve_placeholder; int serve_placeholder;
