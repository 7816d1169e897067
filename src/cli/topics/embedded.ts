export const embedded = `
With no database configured, midctl keeps a real PostgreSQL of its own: made on
first use, started by whichever command needs it, left running at some 16 MB,
reachable only through a private socket, durable.

  Its store   MIDCTL_DATA_DIR, else /var/lib/midctl for root, else
              $XDG_DATA_HOME/midctl
  Status      midctl db status
  Stop        midctl db stop   (the next command starts it again)
  Outgrown    midctl db push postgres://you@host/database

The binaries come with the platform's optional npm package, else from the
system's PostgreSQL, 15 or newer. There is none on Windows: use WSL or a URL.

In a container the server ends with it; keep the store on a volume.
It cannot be a protected environment, since whoever runs midctl owns it.
`;
