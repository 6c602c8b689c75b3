"""speechkit: composable speech-pipeline stages for the command line."""

from speechkit.telemetry import switch_off

__version__ = "0.1.0"

switch_off()
