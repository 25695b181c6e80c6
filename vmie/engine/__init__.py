"""Jobs that survive a crash: what was begun, what was sent, what remains."""
