"""A disk started and judged by what its machine shows: on its consoles, on its screen and on its network.

console, screen ──► signs ──► stage reached, verdict, the lines that show it, the rules that should have foretold it
"""
