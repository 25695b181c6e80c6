"""What is known of a batch: status, history, HTML report."""
