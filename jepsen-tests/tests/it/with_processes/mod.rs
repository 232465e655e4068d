//! Tests with processes. Most of them wait most of the time, so they run side by side, as far as [`crate::turns`] lets
//! them, where there are threads for it: `cargo test --workspace --test it with_processes:: -- --test-threads 100`.

mod backup;
mod backup_restored;
mod chaos_check;
mod cli_tour;
mod clock;
mod cluster_catch_up;
mod cluster_disks;
mod cluster_heal;
mod cluster_incidents;
mod cluster_kill9;
mod cluster_members;
mod cluster_minority;
mod cluster_moves;
mod cluster_pause;
mod cluster_restart;
mod cluster_rolling;
mod cluster_tour;
mod compaction;
mod compose;
mod compose_five;
mod encryption;
mod examples;
mod hostile_input;
mod hostile_volume;
mod incidents;
mod kill9;
mod old_formats;
mod outside;
mod power_cut;
mod slow_watcher;
mod sql_projection;
mod start_stop;
mod strace;
mod under_load;
