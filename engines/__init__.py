"""The models, behind one protocol. Nothing here knows of Pipecat or of a web framework."""
