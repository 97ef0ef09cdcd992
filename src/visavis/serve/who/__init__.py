"""Who asks, and what they may: keys, users, sessions, rates. It knows no photo and no person."""
