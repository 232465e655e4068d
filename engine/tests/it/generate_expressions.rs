//! Expressions of every kind, drawn from a seed. Most are well typed; some are not.

pub struct Generator {
    state: u64,
    /// The variables of the macros around.
    variables: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    Int,
    Uint,
    Double,
    String,
    List,
    Map,
    Time,
    Span,
}

/// Marks around what may be a number of JSON.
const BEGIN: char = '\u{1}';
const END: char = '\u{2}';

fn marked(text: &str) -> String {
    format!("{BEGIN}{text}{END}")
}

const KINDS: [Kind; 9] = [
    Kind::Bool,
    Kind::Int,
    Kind::Uint,
    Kind::Double,
    Kind::String,
    Kind::List,
    Kind::Map,
    Kind::Time,
    Kind::Span,
];

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            variables: Vec::new(),
        }
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub fn expression(&mut self) -> String {
        self.generate().replace([BEGIN, END], "")
    }

    /// An expression, and the same with `dyn` around what may be a number of JSON. That makes it an int or a double.
    #[allow(dead_code, reason = "only engine/differential compares both")]
    pub fn expression_and_strict(&mut self) -> (String, String) {
        let marked = self.generate();
        let strict = marked.replace(BEGIN, "dyn(").replace(END, ")");
        (marked.replace([BEGIN, END], ""), strict)
    }

    fn generate(&mut self) -> String {
        self.variables.clear();
        let kind = self.one_of(&[
            Kind::Bool,
            Kind::Bool,
            Kind::Bool,
            Kind::Int,
            Kind::Uint,
            Kind::Double,
            Kind::String,
            Kind::List,
        ]);
        let depth = 1 + self.below(4);
        self.of(kind, depth)
    }

    /// Of a kind; now and then of another one.
    fn of(&mut self, kind: Kind, depth: usize) -> String {
        let kind = match self.below(40) {
            0 => self.one_of(&KINDS),
            _ => kind,
        };
        if depth == 0 {
            return self.leaf(kind);
        }
        match self.below(8) {
            0 => self.leaf(kind),
            1 => {
                let condition = self.of(Kind::Bool, depth - 1);
                let (then, otherwise) = (self.of(kind, depth - 1), self.of(kind, depth - 1));
                format!("({condition} ? {then} : {otherwise})")
            }
            2 => format!("[{}][0]", self.of(kind, depth - 1)),
            3 => format!("{{'k': {}}}.k", self.of(kind, depth - 1)),
            _ => match kind {
                Kind::Bool => self.bool(depth - 1),
                Kind::Int => self.int(depth - 1),
                Kind::Uint => self.uint(depth - 1),
                Kind::Double => self.double(depth - 1),
                Kind::String => self.string(depth - 1),
                Kind::List => self.list(depth - 1),
                Kind::Map => self.map(depth - 1),
                Kind::Time => self.time(depth - 1),
                Kind::Span => self.span(depth - 1),
            },
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        if !self.variables.is_empty() && self.below(3) == 0 {
            let at = self.below(self.variables.len());
            return marked(&self.variables[at]);
        }
        let leaf = self.one_of(match kind {
            Kind::Bool => &[
                "true",
                "false",
                "ctx.t",
                "ctx.f",
                "ctx.n",
                "ctx.y.a.b",
                "has(ctx.n)",
                "has(ctx.m.b)",
            ][..],
            Kind::Int => &[
                "0",
                "1",
                "-1",
                "2",
                "7",
                "9223372036854775807",
                "-9223372036854775808",
                "0x1f",
                "ctx.i",
                "ctx.j",
                "ctx.z",
                "ctx.l[0]",
                "ctx.m.a",
                "ctx.o[1].q",
                "ctx.missing",
            ],
            Kind::Uint => &["0u", "1u", "3u", "18446744073709551615u", "0xau"],
            Kind::Double => &[
                "0.0",
                "1.0",
                "-1.5",
                "0.1",
                "2.5e3",
                "1e300",
                "9007199254740993.0",
                "ctx.d",
                "ctx.e",
                "ctx.l[1]",
            ],
            Kind::String => &[
                "''",
                "'a'",
                "'ab'",
                "\"b\"",
                "'é'",
                "'a\\tb'",
                "r'\\d'",
                "'12'",
                "'-3'",
                "'1.5'",
                "'true'",
                "ctx.s",
                "ctx.u",
                "ctx.k[0]",
                "ctx['s']",
                "ctx.o[0].w",
                "'\\u00e9\\x41'",
            ],
            Kind::List => &[
                "[]",
                "[1, 2, 3]",
                "['a', 'ab']",
                "[1, 1.0, 1u]",
                "[true, null]",
                "ctx.l",
                "ctx.o",
                "ctx.k",
                "ctx.x",
                "[[1], [2]]",
            ],
            Kind::Map => &[
                "{}",
                "{'a': 1}",
                "{'a': 1, 'b': 'ab'}",
                "{1: 'a', true: 2}",
                "{1u: 2}",
                "ctx.m",
                "ctx.y",
            ],
            Kind::Time => &[
                "timestamp('2026-01-31T12:00:00Z')",
                "timestamp('2024-02-29T23:59:59.5+01:00')",
                "timestamp('1969-12-31T23:59:59Z')",
            ],
            Kind::Span => &[
                "duration('1h30m')",
                "duration('-1.5s')",
                "duration('250ms')",
                "duration('0s')",
                "duration('100h')",
            ],
        });
        match leaf.starts_with("ctx") {
            true => marked(leaf),
            false => leaf.to_owned(),
        }
    }

    fn pair(&mut self, kind: Kind, sign: &str, depth: usize) -> String {
        let (left, right) = (self.of(kind, depth), self.of(kind, depth));
        format!("({left} {sign} {right})")
    }

    fn bool(&mut self, depth: usize) -> String {
        match self.below(10) {
            0 => self.pair(Kind::Bool, "&&", depth),
            1 => self.pair(Kind::Bool, "||", depth),
            2 => format!("!{}", self.of(Kind::Bool, depth)),
            3 => {
                let (kind, sign) = (self.one_of(&KINDS), self.one_of(&["==", "!="]));
                self.pair(kind, sign, depth)
            }
            4 => {
                let numbers = [Kind::Int, Kind::Uint, Kind::Double];
                let (left, right) = (self.one_of(&numbers), self.one_of(&numbers));
                let (left, right) = (self.of(left, depth), self.of(right, depth));
                format!(
                    "({left} {} {right})",
                    self.one_of(&["<", "<=", ">", ">=", "==", "!="])
                )
            }
            5 => {
                let kind = self.one_of(&[Kind::String, Kind::Time, Kind::Span, Kind::Bool]);
                let sign = self.one_of(&["<", "<=", ">", ">="]);
                self.pair(kind, sign, depth)
            }
            6 => {
                let kind = self.one_of(&[Kind::Int, Kind::String, Kind::Double]);
                let (item, list) = (self.of(kind, depth), self.of(Kind::List, depth));
                format!("({item} in {list})")
            }
            7 => {
                let (key, map) = (self.of(Kind::String, depth), self.of(Kind::Map, depth));
                format!("({key} in {map})")
            }
            8 => {
                let method = self.one_of(&["startsWith", "endsWith", "contains"]);
                let (text, other) = (self.of(Kind::String, depth), self.of(Kind::String, depth));
                match self.below(4) {
                    0 => {
                        let pattern = self.one_of(&["^a", "b$", "[0-9]+", "a|b", "^(ab)*$", "."]);
                        format!("{text}.matches('{pattern}')")
                    }
                    _ => format!("{text}.{method}({other})"),
                }
            }
            _ => {
                let name = self.one_of(&["all", "exists", "exists_one"]);
                let kind = self.one_of(&[Kind::List, Kind::List, Kind::Map]);
                self.looped(name, kind, Kind::Bool, depth)
            }
        }
    }

    fn looped(&mut self, name: &str, range: Kind, inside: Kind, depth: usize) -> String {
        let range = self.of(range, depth);
        let variable = self.one_of(&["v", "w", "x1"]).to_owned();
        self.variables.push(variable.clone());
        let inside = self.of(inside, depth);
        self.variables.pop();
        format!("{range}.{name}({variable}, {inside})")
    }

    fn int(&mut self, depth: usize) -> String {
        match self.below(8) {
            0..=2 => {
                let sign = self.one_of(&["+", "-", "*", "/", "%"]);
                self.pair(Kind::Int, sign, depth)
            }
            3 => format!("-({})", self.of(Kind::Int, depth)),
            4 => {
                let kind = self.one_of(&[Kind::String, Kind::List, Kind::Map]);
                match self.below(2) {
                    0 => format!("size({})", self.of(kind, depth)),
                    _ => format!("({}).size()", self.of(kind, depth)),
                }
            }
            5 => {
                let kind = self.one_of(&[
                    Kind::Int,
                    Kind::Uint,
                    Kind::Double,
                    Kind::String,
                    Kind::Time,
                ]);
                format!("int({})", self.of(kind, depth))
            }
            6 => {
                let part = self.one_of(&[
                    "getFullYear",
                    "getMonth",
                    "getDate",
                    "getDayOfMonth",
                    "getDayOfWeek",
                    "getDayOfYear",
                    "getHours",
                    "getMinutes",
                    "getSeconds",
                    "getMilliseconds",
                ]);
                format!("{}.{part}()", self.of(Kind::Time, depth))
            }
            _ => {
                let (of, at) = (self.of(Kind::List, depth), self.of(Kind::Int, depth));
                marked(&format!("{of}[{at}]"))
            }
        }
    }

    fn uint(&mut self, depth: usize) -> String {
        match self.below(2) {
            0 => {
                let sign = self.one_of(&["+", "-", "*", "/", "%"]);
                self.pair(Kind::Uint, sign, depth)
            }
            _ => {
                let kind = self.one_of(&[Kind::Int, Kind::Uint, Kind::Double, Kind::String]);
                format!("uint({})", self.of(kind, depth))
            }
        }
    }

    fn double(&mut self, depth: usize) -> String {
        match self.below(3) {
            0 => {
                let sign = self.one_of(&["+", "-", "*", "/"]);
                self.pair(Kind::Double, sign, depth)
            }
            1 => format!("-({})", self.of(Kind::Double, depth)),
            _ => {
                let kind = self.one_of(&[Kind::Int, Kind::Uint, Kind::Double, Kind::String]);
                format!("double({})", self.of(kind, depth))
            }
        }
    }

    fn string(&mut self, depth: usize) -> String {
        match self.below(3) {
            0 => self.pair(Kind::String, "+", depth),
            1 => {
                let kind = self.one_of(&[Kind::Int, Kind::Uint, Kind::String, Kind::Bool]);
                format!("string({})", self.of(kind, depth))
            }
            _ => {
                let (of, at) = (self.of(Kind::Map, depth), self.of(Kind::String, depth));
                marked(&format!("{of}[{at}]"))
            }
        }
    }

    fn list(&mut self, depth: usize) -> String {
        match self.below(4) {
            0 => self.pair(Kind::List, "+", depth),
            1 => {
                let kinds = [Kind::Bool, Kind::Int, Kind::String, Kind::Double];
                let kind = self.one_of(&kinds);
                self.looped("map", Kind::List, kind, depth)
            }
            2 => self.looped("filter", Kind::List, Kind::Bool, depth),
            _ => {
                let kind = self.one_of(&[Kind::Int, Kind::String, Kind::Bool]);
                format!("[{}, {}]", self.of(kind, depth), self.of(kind, depth))
            }
        }
    }

    fn map(&mut self, depth: usize) -> String {
        format!(
            "{{'a': {}, 'b': {}}}",
            self.of(Kind::Int, depth),
            self.of(Kind::String, depth)
        )
    }

    fn time(&mut self, depth: usize) -> String {
        let (time, span) = (self.of(Kind::Time, depth), self.of(Kind::Span, depth));
        format!("({time} {} {span})", self.one_of(&["+", "-"]))
    }

    fn span(&mut self, depth: usize) -> String {
        match self.below(2) {
            0 => {
                let sign = self.one_of(&["+", "-"]);
                self.pair(Kind::Span, sign, depth)
            }
            _ => self.pair(Kind::Time, "-", depth),
        }
    }
}
