"""The project's YAML files: ``pkg://experiment.conf`` on Hydra's search path. Hydra asks for this file."""
