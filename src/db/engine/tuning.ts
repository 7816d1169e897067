/**
 * The settings of the embedded server, given on its command line so that a newer midctl changes them for older stores.
 * Durability is PostgreSQL's default and stays so: fsync, full_page_writes and synchronous_commit on.
 * @param major of the server: a setting that it does not know would stop it
 */
export function engineSettings(major: number): Record<string, string> {
  return {
    listen_addresses: "",
    unix_socket_permissions: "0700",
    // Memory: some 10 MB when idle. Every command is one short connection; `serve` keeps a handful.
    max_connections: "40",
    shared_buffers: "16MB",
    wal_buffers: "512kB",
    huge_pages: "off",
    dynamic_shared_memory_type: "mmap", // no /dev/shm needed, and containers that share a store share no memory
    // Processes: no parallel query, no replication, no readers of their own.
    max_worker_processes: "0",
    max_parallel_workers: "0",
    max_parallel_workers_per_gather: "0",
    max_parallel_maintenance_workers: "0",
    max_logical_replication_workers: "0",
    max_wal_senders: "0",
    wal_level: "minimal",
    autovacuum: "on",
    autovacuum_max_workers: "2",
    ...(major >= 18 ? { io_method: "sync", autovacuum_worker_slots: "2" } : {}),
    jit: "off",
    // Disk: segments of 1 MB, so these are a dozen files.
    min_wal_size: "4MB",
    max_wal_size: "64MB",
    timezone: "UTC",
    log_timezone: "UTC",
    datestyle: "ISO, YMD",
    intervalstyle: "postgres",
    lc_messages: "C", // errors are told apart by their words where PostgreSQL gives them one SQLSTATE
    // The log holds no statement, no parameter and no row: hashes must not appear in it.
    log_destination: "stderr",
    logging_collector: "off",
    log_min_messages: "log",
    log_min_error_statement: "panic",
    log_error_verbosity: "terse",
    log_statement: "none",
    log_checkpoints: "off",
    log_autovacuum_min_duration: "-1",
    log_line_prefix: "%m [%p] ",
    update_process_title: "off",
    restart_after_crash: "on",
  };
}
