"""Single jobs, one file each: begun once, resumed after a crash, known to `vmie jobs`."""
