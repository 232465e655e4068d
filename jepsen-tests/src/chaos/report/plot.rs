//! Numbers over time as a picture, with the faults shaded and named.

use super::FaultSpan;
use super::series::{Latency, Rates, Series};
use super::strip;
use super::svg::{Anchor, Picture, shortened};

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const PLOT_HEIGHT: f64 = 200.0;
const TITLE_HEIGHT: f64 = 26.0;
const ROW_HEIGHT: f64 = 14.0;
const AXIS_HEIGHT: f64 = 34.0;
/// About how wide a character of a fault's name is.
const CHAR_WIDTH: f64 = 5.6;

/// One line of a plot.
struct Line {
    name: &'static str,
    class: &'static str,
    values: Vec<Option<f64>>,
}

/// Where a fault goes.
struct Place {
    /// The top of its row.
    y: f64,
    /// Where the next fault of the row begins.
    name_to: Option<f64>,
    /// Top and bottom of what it shades.
    plot: (f64, f64),
}

/// How values become heights.
#[derive(Clone, Copy)]
enum Scale {
    /// From 0.
    Linear { max: f64 },
    /// By powers of ten, with these as the lowest and highest.
    Log { low: i32, high: i32 },
}

/// What all plots of a run share.
pub(super) struct Plots<'a> {
    pub series: &'a Series,
    pub faults: &'a [FaultSpan],
    pub duration_us: u64,
}

impl Plots<'_> {
    /// Latencies of reads or writes.
    pub fn latency(&self, title: &str, latencies: &[Option<Latency>]) -> String {
        let values = |pick: fn(&Latency) -> f64| {
            let each = latencies.iter().map(|it| it.as_ref().map(pick));
            each.collect::<Vec<Option<f64>>>()
        };
        let lines = [
            line("max", "s3", values(|it| it.max)),
            line("p99", "s2", values(|it| it.p99)),
            line("p50", "s1", values(|it| it.p50)),
        ];
        let all = || lines.iter().flat_map(|it| &it.values).flatten().copied();
        let low = all().fold(f64::MAX, f64::min).clamp(0.01, 1.0);
        let high = all().fold(1.0, f64::max);
        let scale = Scale::Log {
            low: low.log10().floor() as i32,
            high: high.log10().ceil() as i32,
        };
        self.draw(title, "ms", &lines, scale)
    }

    /// What became of requests, each second.
    pub fn throughput(&self) -> String {
        let values = |pick: fn(&Rates) -> f64| {
            let each = self.series.rates.iter().map(|it| Some(pick(it)));
            each.collect::<Vec<Option<f64>>>()
        };
        let lines = [
            line("done", "s1", values(|it| it.ok)),
            line("refused", "s2", values(|it| it.refused)),
            line("without an answer", "s3", values(|it| it.unknown)),
        ];
        let all = lines.iter().flat_map(|it| &it.values).flatten();
        let max = nice(all.copied().fold(1.0, f64::max));
        self.draw(
            "Requests by their outcome",
            "1/s",
            &lines,
            Scale::Linear { max },
        )
    }

    fn x(&self, us: u64) -> f64 {
        let part = us.min(self.duration_us) as f64 / self.duration_us.max(1) as f64;
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn draw(&self, title: &str, unit: &str, lines: &[Line], scale: Scale) -> String {
        let mut picture = Picture::default();
        let gap_us = self.duration_us / 200;
        let (rows, count) = strip::rows(self.faults, gap_us);
        let top = TITLE_HEIGHT + count as f64 * ROW_HEIGHT + 6.0;
        let bottom = top + PLOT_HEIGHT;
        picture.text(
            (0.0, 15.0),
            Anchor::Start,
            "title",
            &format!("{title}, {unit}"),
        );
        legend(&mut picture, lines);
        for (at, fault) in self.faults.iter().enumerate() {
            let later = self.faults[at + 1..].iter().zip(&rows[at + 1..]);
            let next = later.filter(|(_, row)| **row == rows[at]).map(|it| it.0);
            let place = Place {
                y: TITLE_HEIGHT + rows[at] as f64 * ROW_HEIGHT,
                name_to: next.map(|next| self.x(next.begun_us)).next(),
                plot: (top, bottom),
            };
            self.fault(&mut picture, fault, &place);
        }
        for (value, label) in scale.marks() {
            let y = bottom - scale.part(value) * PLOT_HEIGHT;
            picture.line((LEFT, y), (WIDTH - RIGHT, y), "grid");
            picture.text((LEFT - 6.0, y + 4.0), Anchor::End, "tick", &label);
        }
        self.time_axis(&mut picture, bottom);
        for line in lines {
            let points: Vec<Option<(f64, f64)>> = line
                .values
                .iter()
                .enumerate()
                .map(|(at, value)| {
                    let middle = self.series.interval_us * at as u64 + self.series.interval_us / 2;
                    let y = bottom - scale.part((*value)?) * PLOT_HEIGHT;
                    Some((self.x(middle), y))
                })
                .collect();
            picture.path(&points, line.class);
        }
        picture.finish(WIDTH, bottom + AXIS_HEIGHT, title)
    }

    fn fault(&self, picture: &mut Picture, fault: &FaultSpan, place: &Place) {
        let (from, to) = (self.x(fault.begun_us), self.x(fault.ended_us));
        let width = (to - from).max(1.5);
        let title = format!(
            "{}: {}, {:.1} s to {:.1} s",
            fault.kind,
            fault.name,
            fault.begun_us as f64 / 1e6,
            fault.ended_us as f64 / 1e6
        );
        let (top, bottom) = place.plot;
        picture.rect([from, top, width, bottom - top], "shade", &title);
        picture.rect([from, place.y, width, ROW_HEIGHT - 2.0], "fault", &title);
        // A name may be longer than its fault, as far as there is room.
        let room = place.name_to.unwrap_or(WIDTH) - from - 6.0;
        let fits = (room.max(0.0) / CHAR_WIDTH) as usize;
        if fits >= 4 {
            let name = shortened(&fault.kind, fits);
            picture.text((from + 3.0, place.y + 9.5), Anchor::Start, "name", &name);
        }
    }

    fn time_axis(&self, picture: &mut Picture, bottom: f64) {
        let seconds = self.duration_us as f64 / 1e6;
        let step = nice(seconds / 10.0).max(1.0);
        let mut at = 0.0;
        while at <= seconds {
            let x = self.x((at * 1e6) as u64);
            picture.line((x, bottom), (x, bottom + 4.0), "axis");
            picture.text(
                (x, bottom + 17.0),
                Anchor::Middle,
                "tick",
                &format!("{at:.0} s"),
            );
            at += step;
        }
        picture.line((LEFT, bottom), (WIDTH - RIGHT, bottom), "axis");
    }
}

fn line(name: &'static str, class: &'static str, values: Vec<Option<f64>>) -> Line {
    Line {
        name,
        class,
        values,
    }
}

fn legend(picture: &mut Picture, lines: &[Line]) {
    let mut x = WIDTH - RIGHT;
    for line in lines {
        picture.text((x, 15.0), Anchor::End, "legend", line.name);
        x -= line.name.len() as f64 * 6.5 + 10.0;
        let points = [Some((x - 18.0, 11.0)), Some((x, 11.0))];
        picture.path(&points, line.class);
        x -= 34.0;
    }
}

/// The next of 1, 2, 5, 10, 20, … that is not below.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value * 0.999);
    step.unwrap_or(10.0) * power
}

impl Scale {
    /// The height of a value, from 0 to 1.
    fn part(self, value: f64) -> f64 {
        match self {
            Scale::Linear { max } => (value / max).clamp(0.0, 1.0),
            Scale::Log { low, high } => {
                let range = f64::from((high - low).max(1));
                ((value.max(1e-9).log10() - f64::from(low)) / range).clamp(0.0, 1.0)
            }
        }
    }

    fn marks(self) -> Vec<(f64, String)> {
        match self {
            Scale::Linear { max } => {
                let values = (0..=4).map(|step| max * f64::from(step) / 4.0);
                values.map(|value| (value, number(value))).collect()
            }
            Scale::Log { low, high } => {
                let values = (low..=high).map(|power| 10_f64.powi(power));
                values.map(|value| (value, number(value))).collect()
            }
        }
    }
}

fn number(value: f64) -> String {
    if value == value.round() {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}
