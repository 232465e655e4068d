//! profile add, profile list, profile use, profile remove, profile show. None of them shows a token.

use rstmdb_rcp::json::Json;
use serde_json::{Value, json};

use crate::Error;
use crate::args::{ProfileAdd, ProfileArgs, ProfileCommand};
use crate::input;
use crate::render::view;
use crate::session::CliSession;
use crate::session::profiles::{self, Profile, Profiles};

/// Longest name.
const NAME_BYTES_MAX: usize = 64;

pub(in crate::commands) fn run(session: &CliSession, args: ProfileArgs) -> Result<(), Error> {
    let path = profiles::file()?;
    let mut profiles = Profiles::read(&path)?;
    match args.command {
        ProfileCommand::Add(args) => {
            let name = args.name.clone();
            let profile = added(session, &profiles, args)?;
            profiles.profiles.insert(name.clone(), profile);
            profiles.write(&path)?;
            show(session, &profiles, &name)
        }
        ProfileCommand::List => list(session, &profiles),
        ProfileCommand::Use(args) => {
            if let Some(name) = &args.name {
                profiles.named(name)?;
            }
            profiles.current = args.name;
            profiles.write(&path)?;
            match &profiles.current {
                Some(name) => show(session, &profiles, name),
                None => list(session, &profiles),
            }
        }
        ProfileCommand::Remove(args) => {
            profiles.named(&args.name)?;
            profiles.profiles.remove(&args.name);
            if profiles.current.as_ref() == Some(&args.name) {
                profiles.current = None;
            }
            profiles.write(&path)?;
            list(session, &profiles)
        }
        ProfileCommand::Show(args) => show(session, &profiles, &args.name),
    }
}

fn added(session: &CliSession, known: &Profiles, args: ProfileAdd) -> Result<Profile, Error> {
    let name = &args.name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let text = format!("a profile's name has 1 to {NAME_BYTES_MAX} printable bytes");
        return Err(Error::Usage(text));
    }
    if known.profiles.contains_key(name) && !args.replace {
        let text = format!("there is a profile {name:?} already; --replace replaces it");
        return Err(Error::Usage(text));
    }
    let mut profile = Profile::of(session.options())?;
    if let Some(file) = &args.token_file {
        let text = input::read_to_string(file)?;
        let token = text.lines().next().unwrap_or_default().trim();
        if token.is_empty() {
            return Err(Error::Usage(format!("{file}: the first line has no token")));
        }
        profile.token = Some(token.to_owned());
    }
    Ok(profile)
}

fn show(session: &CliSession, profiles: &Profiles, name: &str) -> Result<(), Error> {
    let shown = shown(profiles, name, profiles.named(name)?);
    if session.out.for_programs() {
        return session.out.value(&shown);
    }
    let shown = Json::parse(&shown.to_string()).map_err(Error::unexpected)?;
    session.draw(|paint| view::object(&shown, paint))
}

fn list(session: &CliSession, profiles: &Profiles) -> Result<(), Error> {
    let all = profiles.profiles.iter();
    let all: Vec<Value> = all
        .map(|(name, profile)| shown(profiles, name, profile))
        .collect();
    if session.out.for_programs() {
        return session.out.value(&json!({"profiles": all}));
    }
    let mut table = crate::render::table::TextTable::new(["", "profile", "server", "tls", "token"]);
    let yes = |is: bool| if is { "yes" } else { "" };
    for (name, profile) in &profiles.profiles {
        let current = profiles.current.as_ref() == Some(name);
        table.push([
            if current { "*" } else { "" },
            name,
            &profile.server.join(","),
            yes(profile.tls),
            yes(profile.token.is_some()),
        ]);
    }
    session.draw(|paint| match table.is_empty() {
        true => paint.dim("none"),
        false => table.render(paint),
    })
}

/// What may be known of a profile.
fn shown(profiles: &Profiles, name: &str, profile: &Profile) -> Value {
    json!({
        "profile": name,
        "current": profiles.current.as_deref() == Some(name),
        "server": profile.server,
        "token": profile.token.is_some(),
        "tls": profile.tls,
        "ca_cert": profile.ca_cert,
        "client_cert": profile.client_cert,
        "client_key": profile.client_key,
        "insecure": profile.insecure,
        "server_name": profile.server_name,
    })
}
