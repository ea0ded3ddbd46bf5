"""What runs in the one-shot containers of a database: backup, verify, expire, restore."""
