"""What a user may type: the keys and their values, checked, and explained where they are wrong."""
