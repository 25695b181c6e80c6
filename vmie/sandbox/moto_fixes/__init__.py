"""Changes to moto, each undone when the sandbox ends."""
