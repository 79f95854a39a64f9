"""How a call gets in and out: WebRTC signalling and media, the page, and the headless caller."""
