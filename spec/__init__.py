"""What must hold and what the kernel does around a callback: data and pure functions, no solver."""
