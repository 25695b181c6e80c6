"""IAM documents: filled, merged and compared. Pure."""
