/* replaced by the room's first file */ extern int sink_placeholder; int sink_placeholder;
