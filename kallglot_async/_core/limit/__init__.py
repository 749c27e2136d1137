"""When the next request may go: what is known of a limit, and what a failed request is worth trying again."""
