"""How a training is spread over devices and processes: a file each."""
