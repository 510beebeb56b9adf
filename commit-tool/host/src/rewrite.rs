//! Where no OCI runtime is called, each RUN of the image calls the tool itself: the Containerfile that the engine gets
//! has it in front of the command. A RUN of another user begins as root, and the tool becomes that user.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use osderive_lints::oci_runtime::REPORT_FOLDER;
use osderive_lints::policy::{Instruction, expanded};
use osderive_lints::{Container, EndRequest, StepRequest, StepUser};

use crate::lineage::{Lineage, Step, is_root};
use crate::run::{Run, split};

/// Where the tool is. The engine's own /dev would hide it there (buildah `chroot/run_linux.go`).
const TOOL_FOLDER: &str = "/run/.osderive";
const TOOL: &str = "/run/.osderive/ostree-container";
const REPORTS: &str = "/run/.osderive-out";
const BASE: &str = "/run/.osderive-base";

/// The build context that reports come back by. As the source of a cache it can be written to, and is not part of the
/// engine's cache key.
pub(crate) const REPORT_CONTEXT: &str = "osderive-reports";

const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// How far a SHELL counts. An image in the OCI format has none (buildah `config.go`, `SetShell`), and with `--layers` the
/// engine goes on from such an image after each instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShellReach {
    Nowhere,
    /// To the end of its stage.
    Stage,
    /// In the stages above as well.
    Image,
}

/// What a RUN cannot be rewritten for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwritable {
    pub(crate) line: u32,
    pub(crate) what: String,
}

/// What stands in the Containerfile in place of a RUN, and how many entries of the image's history it makes before and
/// after its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) text: String,
    pub(crate) around: usize,
}

/// The RUNs of an image with the tool in front.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// In their order.
    pub(crate) runs: Vec<Rewritten>,
    /// Those beside the image that need /var as at boot.
    pub(crate) beside: Vec<Rewritten>,
    /// The build context that has the tool. Its name has the tool's digest: not every engine looks at the content.
    pub(crate) tool_context: String,
    /// The image's user, if the commit at the end may not be made as that one.
    pub(crate) user: Option<String>,
    /// Its working directory, if that is known and another than the root.
    pub(crate) directory: Option<String>,
}

/// What is known where a RUN stands.
#[derive(Clone)]
struct State<'a> {
    /// Of build arguments and of the environment.
    variables: BTreeMap<String, Option<String>>,
    /// Names of the environment, which stay in the stages above.
    environment: Vec<String>,
    user: String,
    /// The working directory; none where a variable in it is not known.
    directory: Option<String>,
    shell: Vec<String>,
    reach: ShellReach,
    /// Those above all stages.
    global: &'a BTreeMap<String, String>,
    given: &'a dyn Fn(&str) -> Option<String>,
}

impl Rewrite {
    /// Rewrites the RUNs that an image is made by, and those beside it that need /var as at boot. `given` has the build
    /// arguments of the command line.
    ///
    /// # Errors
    /// For the first RUN whose user or command cannot be told.
    pub(crate) fn of(
        lineage: &Lineage,
        base: &Container,
        step: &StepRequest,
        tool: &str,
        reach: ShellReach,
        given: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Unwritable> {
        let tool_context = format!("osderive-{tool}");
        let mut state = State {
            variables: BTreeMap::new(),
            environment: Vec::new(),
            user: base.user.clone(),
            directory: Some(base.working_dir.clone()),
            shell: DEFAULT_SHELL.map(str::to_owned).to_vec(),
            reach,
            global: &lineage.arguments,
            given,
        };
        for variable in &base.env {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            state.set_environment(name, Some(value.to_owned()));
        }
        let at_base = state.clone();
        let mut runs = Vec::new();
        for step_of_image in &lineage.steps {
            if let Some(run) = state.read(step_of_image)? {
                let report = format!("{REPORTS}/{}/{REPORT_FOLDER}", report_directory(runs.len()));
                let step = StepRequest {
                    report: Some(report),
                    ..step.clone()
                };
                runs.push(state.rewritten(run, step, &tool_context));
            }
        }
        let mut beside = Vec::new();
        for one in &lineage.beside {
            let mut state = at_base.clone();
            for step in &one.before {
                state.read(step)?;
            }
            if let Some(run) = state.read(&Step::Instruction(one.run.clone()))? {
                let step = StepRequest {
                    prepare: true,
                    ..step.clone()
                };
                beside.push(state.rewritten(run, step, &tool_context));
            }
        }
        Ok(Self {
            runs,
            beside,
            tool_context,
            directory: state.own_directory().map(str::to_owned),
            user: Some(state.user).filter(|user| !lineage.ends_as_root(user)),
        })
    }

    /// The commit at the end, of an image upon a stage with its base.
    pub(crate) fn end(&self, commit: &EndRequest, base_stage: &str) -> Rewritten {
        let request = EndRequest {
            base: BASE.to_owned(),
            report: format!("{REPORTS}/{END}/{REPORT_FOLDER}"),
            ..commit.clone()
        };
        let words = [TOOL.to_owned()].into_iter().chain(request.to_args());
        let words: Vec<String> = words.collect();
        let base = format!("--mount=type=bind,from={base_stage},target={BASE}");
        let mounts = mounts(&self.tool_context);
        as_root(
            self.user.as_deref(),
            self.directory.as_deref(),
            &format!("RUN {mounts} {base} {}\n", json(&words)),
        )
    }
}

/// The directory for the report of a RUN by its number, below the one that reports come back by.
pub(crate) fn report_directory(number: usize) -> String {
    format!("{number:04}")
}

/// That of the commit at the end; it is behind those of RUNs.
pub(crate) const END: &str = "end";

impl State<'_> {
    fn begin_stage(&mut self) {
        let environment = &self.environment;
        self.variables.retain(|name, _| environment.contains(name));
        if self.reach != ShellReach::Image {
            self.shell = DEFAULT_SHELL.map(str::to_owned).to_vec();
        }
    }

    /// Begins a stage that has nothing of the one below but its files.
    fn begin_copy(&mut self) {
        self.variables.clear();
        self.environment.clear();
        self.user.clear();
        self.directory = Some(String::new());
        self.shell = DEFAULT_SHELL.map(str::to_owned).to_vec();
    }

    /// Goes on by one step; answers with it where it is a RUN.
    fn read(&mut self, step: &Step) -> Result<Option<Run>, Unwritable> {
        let instruction = match step {
            Step::From => {
                self.begin_stage();
                return Ok(None);
            }
            Step::Copy => {
                self.begin_copy();
                return Ok(None);
            }
            Step::Instruction(instruction) => instruction,
        };
        let read = if instruction.keyword() == "RUN" {
            Run::read(instruction, &self.shell).map(Some)
        } else {
            self.go_on(instruction).map(|()| None)
        };
        read.map_err(|what| Unwritable {
            line: instruction.lines.0,
            what: what.to_owned(),
        })
    }

    fn set_environment(&mut self, name: &str, value: Option<String>) {
        self.environment.push(name.to_owned());
        self.variables.insert(name.to_owned(), value);
    }

    /// A word with the values of variables; none where one of them is not known.
    fn value(&self, word: &str) -> Option<String> {
        let is_known = Cell::new(true);
        let value = expanded(word, &|name| {
            let value = self.variables.get(name)?;
            is_known.set(is_known.get() && value.is_some());
            value.clone()
        });
        value.filter(|_| is_known.get())
    }

    fn go_on(&mut self, instruction: &Instruction) -> Result<(), &'static str> {
        let (_, rest) = split(&instruction.line);
        let rest = rest.trim();
        match instruction.keyword().as_str() {
            "USER" => {
                self.user = self
                    .value(rest)
                    .ok_or("the value of a variable in USER is not known: write the user")?;
            }
            "WORKDIR" => {
                let to = self.value(rest);
                // A path of its own takes the place of what it is joined to.
                let joined = self.directory.take().zip(to);
                let joined = joined.map(|(from, to)| Path::new("/").join(from).join(to));
                self.directory = joined.map(|path| path.to_string_lossy().into_owned());
            }
            "SHELL" if self.reach != ShellReach::Nowhere => {
                self.shell = serde_json::from_str(rest).map_err(|_| "SHELL is no list of words")?;
            }
            "ENV" => {
                // Several in one instruction have a sign each; one alone may stand before its value.
                let is_list = rest
                    .split_whitespace()
                    .next()
                    .is_some_and(|word| word.contains('='));
                if !is_list {
                    let (name, value) = split(rest);
                    let value = self.value(value.trim());
                    self.set_environment(name, value);
                    return Ok(());
                }
                let is_plain = !rest.contains(['"', '\'', '\\']);
                let words: Vec<&str> = rest.split_whitespace().collect();
                for word in words {
                    // What is behind a blank within quotes may look like a name as well: its value is not known.
                    if let Some((name, value)) = word.split_once('=') {
                        let value = self.value(value).filter(|_| is_plain);
                        self.set_environment(name, value);
                    }
                }
            }
            "ARG" => {
                let is_plain = !rest.contains(['"', '\'', '\\']);
                for word in rest.split_whitespace() {
                    let (name, default) = match word.split_once('=') {
                        Some((name, default)) => (name, self.value(default)),
                        None => (
                            word,
                            Some(self.global.get(word).cloned().unwrap_or_default()),
                        ),
                    };
                    // What the environment has of the same name counts.
                    if !self.environment.iter().any(|known| known == name) {
                        let value = (self.given)(name).or(default.filter(|_| is_plain));
                        self.variables.insert(name.to_owned(), value);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rewritten(&self, run: Run, step: StepRequest, tool_context: &str) -> Rewritten {
        let user = Some(self.user.as_str()).filter(|user| !is_root(user));
        let request = StepRequest {
            user: user.map(|name| StepUser {
                name: name.to_owned(),
                keep_home: self.environment.iter().any(|name| name == "HOME"),
                groups: Vec::new(),
                directory: self.own_directory().map(str::to_owned),
            }),
            ..step
        };
        let words = [TOOL.to_owned()].into_iter().chain(request.to_args());
        let words: Vec<String> = words.chain(run.command).collect();
        let mut flags = mounts(tool_context);
        if !run.flags.is_empty() {
            flags.push(' ');
            flags.push_str(&run.flags);
        }
        as_root(
            user,
            self.own_directory().filter(|_| user.is_some()),
            &format!("RUN {flags} {}\n", json(&words)),
        )
    }

    /// A working directory that is not the root's: the engine makes it before a RUN, for the user of that RUN.
    fn own_directory(&self) -> Option<&str> {
        let directory = self.directory.as_deref();
        directory.filter(|directory| !matches!(*directory, "" | "/"))
    }
}

fn mounts(tool_context: &str) -> String {
    format!(
        "--mount=type=bind,from={tool_context},target={TOOL_FOLDER},z \
         --mount=type=cache,from={REPORT_CONTEXT},target={REPORTS},z"
    )
}

/// An instruction that root runs, between those that change the user and the working directory.
pub(crate) fn as_root(user: Option<&str>, directory: Option<&str>, text: &str) -> Rewritten {
    let mut text = text.to_owned();
    if let Some(user) = user {
        text = format!("USER 0\n{text}USER {user}\n");
    }
    if let Some(directory) = directory {
        text = format!("WORKDIR /\n{text}WORKDIR {directory}\n");
    }
    Rewritten {
        text,
        around: usize::from(user.is_some()) + usize::from(directory.is_some()),
    }
}

/// As the parser of a Containerfile reads it: in one line.
fn json(words: &[String]) -> String {
    serde_json::to_string(words).unwrap_or_default()
}

#[cfg(test)]
mod tests;
