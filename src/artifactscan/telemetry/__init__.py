"""What other systems are told of a job while it runs: OpenTelemetry traces, runs in MLflow."""
