"""Pages in headless Chromium, driven over its own protocol, and judged by axe-core."""
