"""How requests reach the emulated AWS: HTTP, in process, fault injection."""
