"""What the services take and give as audio."""

SAMPLE_RATES = (8_000, 16_000, 24_000, 44_100, 48_000)
"""Sample rates, in Hz, of the PCM that clients send or ask for."""

BYTES_PER_SAMPLE = 2
