//! The arguments of `profile`.

use clap::{Args, Subcommand};

/// `profile`.
#[derive(Debug, Args)]
#[command(after_help = "\
The profiles are in ~/.config/rstmdb/profiles.json, which only you can read. --profile NAME or\n\
RSTMDB_PROFILE uses one. The one that `profile use` has chosen is used if neither a profile nor a\n\
server is named. If a profile is used, options override it, and the variables of a connection do\n\
not count. The exception is RSTMDB_TOKEN, if the profile has no token and RSTMDB_SERVER is not set.")]
pub struct ProfileArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ProfileCommand,
}

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Keep the options of this connection under a name: servers, token, certificates.
    Add(ProfileAdd),
    /// List the profiles. A token is never shown.
    List,
    /// Choose the profile that is used when none is named.
    Use(ProfileUse),
    /// Forget a profile.
    Remove(ProfileName),
    /// Show a profile. A token is never shown.
    Show(ProfileName),
}

/// `profile add`.
#[derive(Debug, Args)]
pub struct ProfileAdd {
    /// The new profile's name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Take the token from the first line of this file, or - for standard input. Other users of this machine can see a
    /// token on a command line.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// Replace the profile of that name.
    #[arg(long)]
    pub replace: bool,
}

/// `profile use`.
#[derive(Debug, Args)]
pub struct ProfileUse {
    /// The profile.
    #[arg(value_name = "PROFILE", required_unless_present = "none")]
    pub name: Option<String>,
    /// Choose no profile.
    #[arg(long, conflicts_with = "name")]
    pub none: bool,
}

/// `profile remove`, `profile show`.
#[derive(Debug, Args)]
pub struct ProfileName {
    /// The profile.
    #[arg(value_name = "PROFILE")]
    pub name: String,
}
