/* replaced by the room's first file */ extern int journal_placeholder; int journal_placeholder;
