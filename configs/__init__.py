"""Typed settings, and one YAML file per profile."""
