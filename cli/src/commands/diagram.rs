//! diagram: draws a machine, or the machine of an instance with its state.

use rstmdb_definitions::model::MachineModel;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::instance::{GetInstance, GetInstanceResult};
use rstmdb_rcp::message::machine::{GetMachine, GetMachineResult};
use rstmdb_rcp::message::op;

use crate::render::diagram::Drawing;
use crate::session::CliSession;
use crate::{Error, args};

pub(super) async fn run(session: &CliSession, args: args::DiagramArgs) -> Result<(), Error> {
    let instance = instance(session, &args).await?;
    let version = args.version().or(instance.as_ref().map(|i| i.version));
    let params = GetMachine {
        machine: args.machine.name().into(),
        version,
        ..GetMachine::default()
    };
    let answer: GetMachineResult<'_> = session.ask(op::GET_MACHINE, &params).await?;
    let definition = Json::parse(answer.definition.get()).map_err(Error::unexpected)?;
    let machine = MachineModel::read(&definition).map_err(|problems| {
        Error::unexpected(
            problems
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        )
    })?;
    let version = answer.version.or(version).unwrap_or_default();
    let current = instance.as_ref().map(|instance| &*instance.state);
    let drawing = Drawing::new(args.machine.name(), version, &machine, current);
    session
        .out
        .line(&drawing.render(args.format, session.out.paint))
}

/// The instance to mark, which must be one of this machine and version.
async fn instance(
    session: &CliSession,
    args: &args::DiagramArgs,
) -> Result<Option<GetInstanceResult<'static>>, Error> {
    let Some(id) = &args.instance_id else {
        return Ok(None);
    };
    let params = GetInstance {
        instance_id: id.as_str().into(),
        ..GetInstance::default()
    };
    let instance: GetInstanceResult<'static> = session.ask(op::GET_INSTANCE, &params).await?;
    let (machine, version) = (&*instance.machine, instance.version);
    if machine != args.machine.name() || args.version().is_some_and(|wanted| wanted != version) {
        let wanted = match args.version() {
            Some(version) => format!("{} v{version}", args.machine.name()),
            None => args.machine.name().to_owned(),
        };
        return Err(Error::Usage(format!(
            "{id} is an instance of {machine} v{version}, not of {wanted}"
        )));
    }
    Ok(Some(instance))
}
