/* replaced by the room's first file */ extern int compute_placeholder; int compute_placeholder;
