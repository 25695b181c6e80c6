"""Service messages: cause and cure."""
