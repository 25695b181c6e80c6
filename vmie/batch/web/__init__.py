"""A batch as a live page in a browser of this machine: it follows the batch, and steers it."""
