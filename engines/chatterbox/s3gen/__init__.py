"""Speech tokens to audio: S3Gen's flow and HiFT, streamed and batched across streams."""
