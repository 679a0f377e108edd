"""Programs that run inside the sandbox: standard library only, handed over as source, imported by nothing there."""
