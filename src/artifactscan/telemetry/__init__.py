"""What is sent about a job to other systems: OpenTelemetry traces, MLflow runs."""
