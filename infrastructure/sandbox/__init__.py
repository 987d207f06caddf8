"""Commands run inside bubblewrap with seccomp, cgroups and resource limits; refused without."""
