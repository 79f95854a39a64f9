"""The engine that the service serves."""

from configs.settings import SttSettings
from engines.protocol import SpeechToText


def load_engine(stt: SttSettings) -> SpeechToText:
    """Load the model of the section `stt`; takes seconds and is not for the event loop.

    Raises:
        WeightsError: The model cannot be found, is damaged, or cannot be loaded.
    """
    from engines.whisper import WhisperEngine

    return WhisperEngine(**stt.engine_arguments)
