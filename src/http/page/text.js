// Every sentence of the page, in one table.
const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

const STATES = {
  accepted: 'accepted', queued: 'queued', sent: 'sent', acknowledged: 'acknowledged', confirmed: 'confirmed',
  failed: 'failed', expired: 'expired', superseded: 'superseded', cancelled: 'cancelled',
};

export const t = {
  product: 'Plugline',
  // navigation
  main: 'Main', skip: 'Skip to content', sockets: 'Sockets', join: 'Join', line: 'Line', events: 'Events', settings: 'Settings',
  notFound: 'This page has no such view', toSockets: 'To the sockets', back: 'Back', close: 'Close', cancel: 'Cancel', save: 'Save',
  retry: 'Try again', refresh: 'Refresh', copy: 'Copy', copied: 'Copied', done: 'Done', next: 'Next', more: 'More',
  // time
  seconds: (n) => `${n} s`, minutes: (n) => `${n} min`, hours: (n) => `${n} h`, days: (n) => `${n} days`,
  justNow: 'just now', ago: (span) => `${span} ago`, never: 'never',
  // connection
  starting: 'Asking the gateway', noAnswer: 'The gateway does not answer.',
  answered: (status) => `The gateway answered with status ${status}.`,
  unreachable: 'The gateway does not answer',
  unreachableHelp: 'It may be starting, or the network between here and it is down. This page goes on trying.',
  lost: 'Connection lost.', lostHelp: 'What you see may be old.', tryingIn: (s) => `Trying again in ${s} s`, trying: 'Trying again',
  tryNow: 'Try now', backAgain: 'Connected again. Nothing was missed.',
  // login
  login: 'Sign in', loginHelp: 'This gateway asks who you are. Paste an access token: the first start of the gateway printed one, and whoever has one can make more.',
  token: 'Access token', tokenHint: 'It begins with plgu_ or plga_', loginGo: 'Sign in', loginBusy: 'Signing in', logout: 'Sign out',
  loginWrong: 'The gateway does not know this token. Was it copied whole?', loginForm: 'A token begins with plgu_ or plga_.',
  // sockets
  houseDraws: 'The house draws', houseFeeds: 'The house feeds in', measuring: (n, all) => `${n} of ${many(all, 'socket')} measure`,
  silent: (n) => `${n} ${n === 1 ? 'does' : 'do'} not answer`, shares: 'Where it goes', others: 'others',
  search: 'Search sockets', filterAll: 'All', filterOn: 'On', filterOff: 'Off', filterTrouble: 'Trouble', filter: 'Show', sortPower: 'By power', noneFit: 'No socket fits.', clearSearch: 'Show all',
  empty: 'No sockets yet', emptyHelp: 'Plug one in, then let it join. That takes a minute.', emptyGo: 'Let a socket join',
  groups: 'Groups', newGroup: 'New group', all: 'All sockets',
  on: 'On', off: 'Off', unknownState: 'Not heard yet', unreachableSocket: 'Does not answer', lastHeard: (when) => `heard ${when}`,
  notHeard: 'Not heard yet', switchOf: (name) => `${name}, relay`, turnOn: (name) => `Turn ${name} on`, turnOff: (name) => `Turn ${name} off`,
  noWhileLost: 'Not while the connection is lost', notAllowed: 'Your token may not do that',
  // commands
  states: STATES,
  commandName: (command) => ({ switch: command.args?.on ? 'Turn on' : 'Turn off', read: 'Read', identify: 'Identify' })[command.command] || command.command,
  life: (command) => {
    const what = command.command === 'switch' ? (command.args.on ? 'Turning on' : 'Turning off') : t.commandName(command);
    return {
      accepted: `${what}: accepted`, queued: `${what}: waits for the line`, sent: `${what}: sent, no answer yet`,
      acknowledged: `${what}: heard by the socket`, confirmed: command.command === 'switch' ? (command.args.on ? 'On, confirmed' : 'Off, confirmed') : `${what}: confirmed`,
      failed: `Failed: ${t.why(command)}`, expired: 'Expired: it was never sent', superseded: 'Replaced by a newer command', cancelled: 'Taken back before it was sent',
    }[command.state] || command.state;
  },
  why: (command) => {
    const detail = command.error?.detail || command.error?.code || 'no reason told';
    const done = { not_applied: ' It was surely not done.', unknown: ' It may have happened all the same.' }[command.outcome] || '';
    return `${detail.replace(/\.$/, '')}.${done}`;
  },
  commandEnded: (name, command) => `${name}: ${t.life(command)}`,
  refused: (name, why) => `${name}: refused. ${why}`,
  takeBack: 'Take back', dismiss: 'Dismiss', by: (who) => `by ${who}`, steps: ['Queued', 'Sent', 'Confirmed'], attempts: (n) => many(n, 'try', 'tries'),
  membersOn: (on, all) => `${on} of ${all} on`, membersOf: (good, all) => `${good} of ${all} confirmed`,
  // one socket
  unknownSocket: 'There is no such socket', unknownSocketHelp: 'It may have been removed. Its id never comes back as another one.',
  rename: 'Rename', name: 'Name', renamed: (name) => `It is called ${name} now`,
  powerNow: 'Power', chart: 'Power over time', range: 'Range', ranges: { 1: '1 h', 24: '24 h', 168: '7 days' },
  chartWords: (name, low, high, mean) => `Power of ${name}: lowest ${low}, highest ${high}, mean ${mean}`,
  noHistory: 'No power was measured in this time.', noHistoryYet: 'This gateway keeps no history.', noHistoryHelp: 'A newer version of Plugline does. Live figures are not affected.',
  energyDays: 'Energy per day', energyToday: 'Today', energyMean: 'A day, on average', inZone: (zone) => `Days in ${zone}`, partial: 'not the whole day', estimated: 'shared by time across midnight', noDays: 'No day is complete yet.',
  day: 'Day', energyUsed: 'Energy', exported: 'fed in',
  readings: 'Readings', power: 'Power', energyTotal: 'Energy, total', exportTotal: 'Fed in, total', voltage: 'Voltage', current: 'Current',
  frequency: 'Frequency', powerFactor: 'Power factor', temperature: 'Temperature', noReading: 'Nothing was measured yet.', measured: (when) => `measured ${when}`, readNow: 'Read now',
  options: 'Options', asConfigured: 'as configured', yes: 'yes', no: 'no', saved: 'Saved',
  recent: 'Recently', noRecent: 'Nothing happened lately.', recentBusy: 'Looking through the log',
  care: 'Care', identify: 'Identify', identifyHelp: 'A beep or a blinking lamp shows which one it is.', replace: 'Replace', replaceHelp: 'Other hardware takes its place. Name, history and total stay.',
  csv: 'Readings as CSV', csvHelp: 'The last 7 days, for a spreadsheet.', remove: 'Remove', removeHelp: 'The gateway forgets this socket.',
  removeTitle: (name) => `Remove ${name}?`, removeText: 'It leaves the registry, Home Assistant and every group. Its past readings stay in the log until they are trimmed. To bring it back, let it join again.', removed: (name) => `${name} is removed`,
  about: 'About', id: 'Id', address: 'Address', lineOf: 'Line', dialect: 'Dialect', model: 'Model', channel: 'Channel', member: 'Members', lastSeen: 'Last heard',
  causes: { command: 'by command', button: 'by its button', power_on: 'when power came', poll: 'seen by asking', group: 'by a group', trip: 'it tripped', unknown: '' },
  // replace
  replaceTitle: (name) => `Replace ${name}`, replaceSteps: ['What happens', 'The new one', 'Check'],
  replaceText: ['Other hardware takes the place of this socket: after it broke, or was swapped.', 'Its id, name, groups, history and energy total stay, also in Home Assistant. The total goes on by what the new meter counts.', 'The new hardware must be able to do what the old one could.'],
  replaceUnplug: 'Take the old one off the wall first.', newAddress: 'Address of the new one', newAddressHelp: 'It is printed on the device. Any spelling that its line knows will do.',
  heardOnLine: 'Heard on this line, and nobody’s yet', replaceOld: 'Old address', replaceNew: 'New address', replaceGo: 'Replace', replaced: (name) => `${name} is replaced`,
  replaceLabel: 'A socket of a Plugline line must be let in by its label afterwards.', toJoin: 'Let it join',
  // groups
  groupName: 'Name of the group', members: 'Members', makeGroup: 'Make the group', changeGroup: 'Change members', dissolve: 'Dissolve', dissolveTitle: (name) => `Dissolve ${name}?`, dissolveText: 'Its sockets stay as they are.', noGroups: 'This gateway knows no groups.',
  groupMade: (name) => `${name} is made`, pickMembers: 'At least one socket with a relay',
  // join
  joinTitle: 'Let a socket join', joinLine: 'Line', joinNone: 'No line takes new sockets', joinNoneHelp: 'Add one to the configuration first.',
  ways: { label: 'by the code on the label', code: 'by the address on the label', button: 'by holding the button', call: 'by a call on the line' },
  waysHelp: {
    label: 'Type the code that is printed on the socket, or take a photo of it. Only this one socket gets in.',
    code: 'With the address on the label, that one device is linked and nobody touches it.',
    button: 'Open the window, then hold the button of the device until it beeps.',
    call: 'Open the window: the meter on the line is asked for its address.',
  },
  code: 'Code on the label', codeHint: 'PLG1:… The check characters at its end show a slip at once.', codeAddress: 'Address on the label', codeAddressHint: 'For example 1A.77.7B',
  codeGood: (eui) => `The code is whole: socket ${eui}`, codeErrors: {
    prefix: 'A code begins with PLG1:', character: (at, c) => `Character ${at}, “${c}”, does not belong there`,
    length: (part, got, want) => `${{ eui: 'The first part (EUI)', key: 'The middle part (key)', check: 'The last part (check)' }[part]} has ${got} characters, it takes ${want}`,
    check: 'The check characters do not fit: something was mistyped',
  },
  photo: 'Photo of the code', camera: 'Camera', cameraStop: 'Stop the camera', cameraSecure: 'A live camera needs https, or this page on the box itself. A photo always works.', cameraNone: 'This device shows no camera to the browser.',
  cameraRefused: 'The camera was not allowed.', cameraLook: 'Hold the code in front of the camera', decoding: 'Looking for a code in the photo', noCode: 'No code was found in the photo. Go nearer, with light from the side.', otherCode: 'This is a code of something else.',
  seconds_: 'Open for', openFor: { 60: '1 min', 180: '3 min', 600: '10 min' }, openWindow: 'Open the window', letIn: 'Let it in', anyLabel: 'Open it for known labels', closeWindow: 'Close the window',
  windowOpen: 'The window is open', windowFor: (code) => `for ${code}`, windowLeft: (s) => `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')} left`, happening: 'What happens', waiting: 'Waiting for the socket to ask. That can take a minute.',
  joinNews: {
    open: 'The window is open', joined: (name) => `${name} is in`, failed: (why) => why, closed: { time: 'The window closed: the time was up', request: 'The window was closed', joined: 'The window closed: the socket is in', replaced: 'The window closed' }, foreign: (address) => `${address} was heard and is nobody’s`,
  },
  foreign: 'Heard, and not yours', foreignHelp: 'They are shown here and nothing they say is published. A neighbour’s may be among them.', useIt: 'Enter its label',
  addTitle: 'Add by address', addHelp: 'For lines where devices are known by their address.', addGo: 'Add', added: (name) => `${name} is added`, show: 'Show it',
  // line
  lineTitle: 'Line quality', lineHelp: 'How well the wiring carries, hour by hour.', noQuality: 'This gateway does not measure its lines.', noQualityHelp: 'What it knows is whether modem and port work, and what could not be used.',
  modemGood: 'Modem answers', modemBad: 'Modem does not answer', modemUnknown: 'Modem not asked yet', portBad: (why) => `Port closed: ${why}`, portGood: 'Port open', malformed: 'Could not be used', malformedNone: 'Nothing was malformed.', heardLast: 'Last heard',
  whoHears: 'Who hears whom', noLinks: 'This dialect does not tell who hears whom.', mapWords: (n, links) => `Map of the line: the modem and ${many(n, 'socket')}, ${many(links, 'link')}`, modem: 'Modem',
  lossTitle: 'Lost reports', loss: 'Lost', heardCount: 'Frames', missing: 'Reports missing', hops: 'Hops', snr: 'SNR', level: 'Level', attemptsEach: 'Tries', noLoss: 'No report was lost.',
  hoursTitle: 'Noisy hours', hourWords: (when, heard, bad, unanswered) => `${when}: ${heard} heard, ${bad} malformed, ${unanswered} unanswered`, quiet: 'quiet', noisy: 'noisy', noHours: 'Nothing was heard in these hours.',
  // events
  eventsTitle: 'Events', feedTab: 'Events', liveTab: 'Messages on the line', tabs: 'What to show', pause: 'Pause', resume: 'Go on', paused: (n) => `Paused, ${many(n, 'new event')}`, kinds: { reading: 'readings', state: 'states', device: 'devices', command: 'commands', notification: 'notices', gateway: 'gateway' },
  anySocket: 'All sockets', ofSocket: 'Of', noEvents: 'Nothing has happened yet.', noEventsFit: 'No event fits.', raw: 'As JSON',
  liveHelp: 'Every frame on the wire, as it passes. The gateway ends it after ten minutes.', liveStart: 'Listen', liveStop: 'Stop', liveNone: 'This gateway does not show frames.', liveWait: 'Listening', frameIn: 'in', frameOut: 'out', capture: 'Record a minute', capturing: 'Recording', filterFrames: 'Search messages', liveEnded: 'The ten minutes are over.',
  eventWords: (event, name) => {
    const d = event.data;
    switch (event.kind) {
      case 'state': return d.relay === undefined ? `${name} ${d.online ? 'answers' : 'does not answer'}${!d.online && d.reason ? `: ${d.reason}` : ''}` : `${name} is ${d.relay ? 'on' : 'off'}${t.causes[d.cause] ? `, ${t.causes[d.cause]}` : ''}`;
      case 'device': return `${name} was ${d.change}`;
      case 'command': return `${name}: ${t.life(d)}`;
      case 'notification': return d.detail;
      case 'gateway': return t.gatewayWords(d, name);
      default: return event.kind;
    }
  },
  joinWords: (d, name) => ({ open: `Joining window of ${d.line} opened`, joined: `${name} joined ${d.line}`, failed: d.error?.detail, closed: `Joining window of ${d.line} closed` }[d.state] || d.state),
  gatewayWords: (d, name) => ({
    started: `The gateway started, version ${d.version}`, stopping: 'The gateway is stopping', line_up: `Line ${d.line} is up`, line_down: `Line ${d.line} is down: ${d.reason}`,
    foreign_device: `${d.address} was heard on ${d.line} and is nobody’s`, joining: t.joinWords(d, name),
    clock_step: `The clock was set by ${d.step_ms} ms`, gap: `Events are missing (${d.reason})`,
  }[d.event] || d.event),
  // settings
  settingsTitle: 'Settings', gatewayTitle: 'Gateway', version: 'Version', startedAt: 'Running since', feed: 'Event log', feedSpan: (n) => `${n} events kept`, apiDocs: 'API', licences: 'Licences',
  healthTitle: 'Health', healthGood: 'Everything works.', healthBad: 'Something does not work:', healthParts: { store: 'Registry', feed: 'Event log', broker: 'MQTT broker', log: 'Event log' }, healthLine: (line) => `Line ${line}`,
  works: 'works', worksNot: 'does not work',
  themeTitle: 'Appearance', themes: { auto: 'As the system', light: 'Light', dark: 'Dark' }, toDark: 'Dark appearance', toLight: 'Light appearance',
  linesTitle: 'Lines', lineDetails: 'Quality', mqttTitle: 'MQTT', broker: 'Broker', brokerHelp: '“embedded” or an address such as mqtt://192.168.1.5:1883', mqttUser: 'User', passwordFile: 'Password file', base: 'Base of all topics', prefix: 'Prefix of Home Assistant', configFile: (file) => `Written into ${file}; comments there are kept.`, overridden: (name) => `${name} in the environment decides this.`, noConfigFile: 'The gateway runs without a configuration file: nothing can be saved.',
  restartNeeded: 'Saved. It counts after a restart.', restart: 'Restart the gateway', restartTitle: 'Restart the gateway?', restartText: 'It ends in order and is back within seconds. Sockets keep their state.', restarting: 'The gateway restarts',
  tokensTitle: 'Access tokens', tokensHelp: 'One for each program or person. A token is shown once, when it is made.', newToken: 'New token', scope: 'May', scopes: { read: 'read', switch: 'read and switch', manage: 'manage sockets', admin: 'everything' }, onlyFor: 'Only for', allSockets: 'all sockets', expires: 'Expires', expiry: { 0: 'never', 86400: 'in a day', 2592000: 'in 30 days', 31536000: 'in a year' },
  makeToken: 'Make the token', tokenOnce: 'Copy it now: it is not shown again.', rotate: 'Rotate', rotateHelp: 'The old one goes on working for a day.', lastUsed: (when) => `used ${when}`, neverUsed: 'never used', until: (when) => `until ${when}`, retires: (when) => `replaced, works until ${when}`, noTokens: 'No tokens yet.', removeToken: (name) => `Remove the token ${name}?`, removeTokenText: 'Whatever uses it is shut out at once.',
  auditTitle: 'Who changed what', noAudit: 'Nothing was changed yet.',
  backupTitle: 'Backup', backupHelp: 'Registry, keys, tokens and configuration in one text file. Whoever holds it can speak for the gateway: set a passphrase, or keep it safe.', passphrase: 'Passphrase', passphraseOptional: 'Passphrase (optional)', backupGo: 'Download a backup', restoreTitle: 'Restore', restoreHelp: 'Everything the gateway knows is replaced by what stands in the file, at a restart.', restoreFile: 'Backup file', restoreGo: 'Restore', restoreWhole: 'With the configuration in it', restoreConfirm: 'Replace everything by this backup?', restored: 'Taken. The gateway starts anew with it.',
  logTitle: 'Log', logWait: 'Waiting for the next line', levels: 'From',
  // the API for people
  docs: {
    title: 'API', lead: (version) => `Everything this gateway offers to programs, version ${version}. JSON over HTTP, times in UTC, errors as problems with a name.`, asked: 'Who you are is told by a token: set TOKEN in the shell before you copy a line.',
    search: 'Search paths, words, scopes', scope: 'Needs', open: 'open', found: (n, all) => `${n} of ${all} operations`, noneFit: 'Nothing fits.', parts: 'Parts of the API',
    parameters: 'Parameters', places: { path: 'in the path', query: 'in the query', header: 'header' }, required: 'required', optional: 'may be absent', empty: 'empty object', body: 'Body', example: 'Example of a body', answers: 'Answers', noBody: 'no body', refused: 'a problem', permalink: 'This operation:',
    problems: 'Problems', problemsHelp: 'A refusal is JSON with `type`, `title`, `status` and `detail`; `field` and `allowed` where a field is at fault. The type ends in one of these names.',
    text: 'text', time: 'time, RFC 3339', date: 'date', whole: 'whole number', number: 'number', flag: 'true or false', object: 'object', anything: 'anything', list: (of) => `list of ${of}`, map: (of) => `map of names to ${of}`, or: ' or ', either: 'Either', orElse: 'or',
    characters: ' characters', bounds: (low, high) => (high === undefined ? `at least ${low}` : low === undefined ? `at most ${high}` : low === high ? `${low}` : `${low} … ${high}`),
  },
  absent: 'This gateway is older than this part of the page.', denied: 'Your token may not see this.',
};
