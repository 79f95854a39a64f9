"""The token model of Chatterbox (T3), decoded for many streams at once."""
