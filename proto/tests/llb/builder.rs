//! Builds definitions byte by byte in the field order of Go's marshaller: fields by number, members
//! of a oneof behind them, unknown fields last. Any message can be given an unknown field.

use osderive_proto::llb::{Digest, Edge};

/// The number of the unknown field that [`Graph::exotic`] adds to every message.
const UNKNOWN: u32 = 1000;
/// The levels at which there are unknown fields, by the text in them.
pub(crate) const LEVELS: [&str; 11] = [
    "in-definition",
    "in-op",
    "in-input",
    "in-exec",
    "in-meta",
    "in-mount",
    "in-metadata",
    "in-metadata-entry",
    "in-source",
    "in-locations",
    "in-location",
];

/// A message under construction.
#[derive(Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn int(mut self, number: u32, value: i64) -> Self {
        if value != 0 {
            self.varint(u64::from(number) << 3);
            self.varint(value.cast_unsigned());
        }
        self
    }

    pub(crate) fn bytes(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.varint(u64::from(number) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(self, number: u32, value: &str) -> Self {
        if value.is_empty() {
            return self;
        }
        self.bytes(number, value)
    }

    pub(crate) fn texts(self, number: u32, values: &[&str]) -> Self {
        let mut message = self;
        for value in values {
            message = message.bytes(number, value);
        }
        message
    }

    pub(crate) fn message(self, number: u32, value: &Message) -> Self {
        self.bytes(number, &value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// A mount of a RUN, with the defaults of the wire.
#[derive(Clone, Default)]
pub(crate) struct Mount {
    pub(crate) input: i64,
    pub(crate) selector: &'static str,
    pub(crate) dest: &'static str,
    pub(crate) output: i64,
    pub(crate) readonly: bool,
    pub(crate) kind: i64,
}

pub(crate) fn root(input: i64) -> Mount {
    Mount {
        input,
        dest: "/",
        ..Mount::default()
    }
}

/// The parts of an exec that tests vary.
#[derive(Clone)]
pub(crate) struct Exec<'a> {
    pub(crate) inputs: Vec<Edge>,
    pub(crate) args: Vec<&'a str>,
    pub(crate) user: &'a str,
    pub(crate) mounts: Vec<Mount>,
}

impl<'a> Exec<'a> {
    /// `RUN args` on a state, or on scratch.
    pub(crate) fn on(base: Option<Edge>, args: &[&'a str]) -> Self {
        Self {
            inputs: base.into_iter().collect(),
            args: args.to_vec(),
            user: "",
            mounts: vec![root(if base.is_some() { 0 } else { -1 })],
        }
    }
}

/// An action of a file op: input and output; it makes a directory.
pub(crate) type Action = (i64, i64);

/// A definition under construction.
#[derive(Default)]
pub(crate) struct Graph {
    exotic: bool,
    pub(crate) ops: Vec<Vec<u8>>,
    metadata: Vec<(String, Message)>,
    locations: Vec<(String, Message)>,
}

impl Graph {
    pub(crate) fn exotic() -> Self {
        Self {
            exotic: true,
            ..Self::default()
        }
    }

    pub(crate) fn image(&mut self, name: &str) -> Edge {
        self.source(&format!("docker-image://{name}"))
    }

    pub(crate) fn source(&mut self, identifier: &str) -> Edge {
        let body = Message::default().text(1, identifier);
        self.op(&[], 3, &body)
    }

    pub(crate) fn run(&mut self, base: Edge, command: &str) -> Edge {
        self.exec(&Exec::on(Some(base), &["/bin/sh", "-c", command]))
    }

    /// An exec with the metadata and source location of a RUN.
    pub(crate) fn exec(&mut self, exec: &Exec<'_>) -> Edge {
        let edge = self.plain_exec(exec);
        let command = format!("RUN {}", exec.args.last().unwrap_or(&""));
        let line = i64::try_from(self.ops.len()).expect("a small number");
        self.describe(edge, &[("com.docker.dockerfile.v1.command", &command)]);
        self.locate(edge, 0, line);
        edge
    }

    /// An exec that no RUN made.
    pub(crate) fn plain_exec(&mut self, exec: &Exec<'_>) -> Edge {
        let meta = Message::default()
            .texts(1, &exec.args)
            .texts(2, &["PATH=/usr/bin"])
            .text(3, "/work")
            .text(4, exec.user)
            .text(7, "host")
            .int(11, 1);
        let mut body = Message::default().message(1, &self.unknown(meta, "in-meta"));
        for mount in &exec.mounts {
            let encoded = Message::default()
                .int(1, mount.input)
                .text(2, mount.selector)
                .text(3, mount.dest)
                .int(4, mount.output)
                .int(5, i64::from(mount.readonly))
                .int(6, mount.kind);
            body = body.message(2, &self.unknown(encoded, "in-mount"));
        }
        let body = self.unknown(body.int(3, 2), "in-exec");
        self.op(&exec.inputs, 2, &body)
    }

    pub(crate) fn file(&mut self, inputs: &[Edge], actions: &[Action]) -> Edge {
        let mut body = Message::default();
        for (index, (input, output)) in actions.iter().enumerate() {
            let mkdir = Message::default().text(1, &format!("/dir{index}"));
            let action = Message::default()
                .int(1, *input)
                .int(2, -1)
                .int(3, *output)
                .message(6, &mkdir);
            body = body.message(2, &action);
        }
        self.op(inputs, 4, &body)
    }

    /// COPY on a state.
    pub(crate) fn copy(&mut self, base: Edge, from: Edge) -> Edge {
        let copy = Message::default().text(1, "/from").text(2, "/to");
        let action = Message::default().int(2, 1).message(4, &copy);
        self.op(&[base, from], 4, &Message::default().message(2, &action))
    }

    /// `COPY --from=STAGE SOURCE SOURCE` on an empty root.
    pub(crate) fn copy_of_all(&mut self, from: Edge, source: &str) -> Edge {
        let copy = Message::default().text(1, source).text(2, source);
        let copy = copy.int(4, -1).int(6, 1);
        let action = Message::default().int(1, -1).message(4, &copy);
        self.op(&[from], 4, &Message::default().message(2, &action))
    }

    pub(crate) fn merge(&mut self, inputs: &[Edge]) -> Edge {
        let mut body = Message::default();
        for index in 0..inputs.len() {
            let index = i64::try_from(index).expect("a small number");
            body = body.message(1, &Message::default().int(1, index));
        }
        self.op(inputs, 6, &body)
    }

    pub(crate) fn diff(&mut self, lower: Option<Edge>, upper: Option<Edge>) -> Edge {
        let inputs: Vec<Edge> = lower.into_iter().chain(upper).collect();
        let at = |edge: Option<Edge>, position| edge.map_or(-1, |_| position);
        let upper_at = at(upper, i64::from(lower.is_some()));
        let body = Message::default()
            .message(1, &Message::default().int(1, at(lower, 0)))
            .message(2, &Message::default().int(1, upper_at));
        self.op(&inputs, 7, &body)
    }

    pub(crate) fn passthrough(&mut self, inputs: &[Edge], outputs: &[u8]) -> Edge {
        let body = Message::default().text(1, "id").bytes(2, outputs);
        self.op(inputs, 8, &body)
    }

    /// Any op.
    pub(crate) fn op(&mut self, inputs: &[Edge], kind: u32, body: &Message) -> Edge {
        let mut op = Message::default();
        for input in inputs {
            op = op.message(1, &self.input(input));
        }
        let platform = Message::default()
            .text(1, "arm64")
            .text(2, "linux")
            .text(3, "v8");
        op = op.message(10, &platform).bytes(11, []).message(kind, body);
        let op = self.unknown(op, "in-op");
        self.raw(op.0)
    }

    /// An op of these bytes.
    pub(crate) fn raw(&mut self, op: Vec<u8>) -> Edge {
        let digest = Digest::of(&op);
        // Beyond a thousand ops the look-up would cost more than the tests, which then repeat none.
        if self.ops.len() > 1000 || !self.ops.contains(&op) {
            self.ops.push(op);
        }
        Edge { digest, index: 0 }
    }

    pub(crate) fn input(&self, edge: &Edge) -> Message {
        let input = Message::default()
            .text(1, &edge.digest.to_string())
            .int(2, i64::from(edge.index));
        self.unknown(input, "in-input")
    }

    pub(crate) fn describe(&mut self, edge: Edge, description: &[(&str, &str)]) {
        let mut metadata = Message::default();
        for (key, value) in description {
            metadata = metadata.message(2, &Message::default().text(1, key).text(2, value));
        }
        self.annotate(edge, metadata);
    }

    /// Metadata of an op.
    pub(crate) fn annotate(&mut self, edge: Edge, metadata: Message) {
        let metadata = self.unknown(metadata, "in-metadata");
        self.metadata.push((edge.digest.to_string(), metadata));
    }

    pub(crate) fn locate(&mut self, edge: Edge, info: i64, line: i64) {
        self.locate_all(edge, &[(info, line)]);
    }

    /// Places as file index and line.
    pub(crate) fn locate_all(&mut self, edge: Edge, places: &[(i64, i64)]) {
        let mut locations = Message::default();
        for (info, line) in places {
            let position = Message::default().int(1, *line);
            let range = Message::default()
                .message(1, &position)
                .message(2, &position);
            let location = Message::default().int(1, *info).message(2, &range);
            locations = locations.message(1, &self.unknown(location, "in-location"));
        }
        let locations = self.unknown(locations, "in-locations");
        self.locations.push((edge.digest.to_string(), locations));
    }

    /// The definition that builds `edge`.
    pub(crate) fn finish(&mut self, edge: Edge) -> Vec<u8> {
        let terminal = Message::default().message(1, &self.input(&edge));
        let digest = Digest::of(&terminal.0);
        self.ops.push(terminal.0);
        self.describe(Edge { digest, index: 0 }, &[]);
        self.document()
    }

    /// The definition with the ops as they are.
    pub(crate) fn document(&self) -> Vec<u8> {
        let mut document = Message::default();
        for op in &self.ops {
            document = document.bytes(1, op);
        }
        for (key, metadata) in &self.metadata {
            let entry = Message::default().text(1, key).message(2, metadata);
            document = document.message(2, &self.unknown(entry, "in-metadata-entry"));
        }
        let mut source = Message::default();
        for (key, locations) in &self.locations {
            source = source.message(1, &Message::default().text(1, key).message(2, locations));
        }
        let info = Message::default()
            .text(1, "Dockerfile")
            .bytes(2, "FROM x\nRUN y\n");
        source = self.unknown(source.message(2, &info), "in-source");
        self.unknown(document.message(3, &source), "in-definition")
            .0
    }

    fn unknown(&self, message: Message, level: &str) -> Message {
        if self.exotic {
            message.text(UNKNOWN, level)
        } else {
            message
        }
    }
}
