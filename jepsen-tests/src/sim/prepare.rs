//! The machines and instances that all clients use.

use rstmdb_engine::Command;
use rstmdb_sim::machines::TestMachine;

use super::clients::{create, definition, instance};
use super::plan::SimPlan;

/// What a cluster of the first feature level understands.
pub fn of_format_1(plan: &SimPlan) -> impl Iterator<Item = Command> {
    let machines = TestMachine::ALL.into_iter().map(definition);
    machines.chain(instances(plan, |machine| {
        TestMachine::ALL.contains(&machine)
    }))
}

/// What needs the present level.
pub fn of_format_2(plan: &SimPlan) -> impl Iterator<Item = Command> {
    let machines = TestMachine::SIMULATED.into_iter();
    let machines = machines.filter(|machine| !TestMachine::ALL.contains(machine));
    let fuses = (plan.fuses > 0).then(|| definition(TestMachine::Fuse));
    let instances = instances(plan, |machine| !TestMachine::ALL.contains(&machine));
    machines.map(definition).chain(fuses).chain(instances)
}

/// The instances of some machines.
fn instances(plan: &SimPlan, of: impl Fn(TestMachine) -> bool) -> impl Iterator<Item = Command> {
    let all = (0..plan.instances).map(instance);
    let chosen = all.filter(move |(_, machine)| of(*machine));
    chosen.map(|(id, machine)| create(&id, machine, true))
}
