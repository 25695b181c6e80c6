"""The library: `plan()` reads only, `apply()` acts, nothing prints."""
