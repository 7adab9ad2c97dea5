"""The console a patient-relations team opens every morning: pages rendered on the server, French first."""
