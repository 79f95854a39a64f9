"""What every section of the settings is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings. Unknown keys are errors, and values do not change once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
