"""What belongs to a phone call: its story, its session, its transcript and its recordings."""
