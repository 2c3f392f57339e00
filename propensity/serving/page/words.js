/** The words of the page, in English and in Spanish as Chileans write it. Those of the model come with its contract. */

const WORDS = {
  // The frame of the page.
  title: ["A model, to try it out", "Un modelo para probar"],
  probabilityThat: ["The probability that {meaning}.", "La probabilidad de lo siguiente: {meaning}."],
  settings: ["Settings", "Ajustes"],
  api: ["The API", "La API"],
  forget: ["Forget the token", "Olvidar el token"],
  staysHere: [
    "What you enter or drop here goes to this service and nowhere else.",
    "Lo que usted ingresa o arrastra aquí va solo a este servicio, a ninguna otra parte.",
  ],
  tabs: ["Ways to look at the model", "Formas de mirar el modelo"],
  tab_row: ["One row", "Una fila"],
  tab_what: ["What if", "¿Y si…?"],
  tab_file: ["A file", "Un archivo"],
  tab_model: ["The model", "El modelo"],
  waiting: ["One moment…", "Un momento…"],
  asTable: ["As a table", "Como tabla"],
  yes: ["yes", "sí"],
  no: ["no", "no"],
  none: ["none", "ninguno"],
  row: ["Row", "Fila"],
  rows: ["Rows", "Filas"],
  line: ["Line", "Línea"],
  field: ["Field", "Campo"],
  fields: ["Fields", "Campos"],
  value: ["Value", "Valor"],
  meaning: ["Meaning", "Significado"],
  share: ["Share", "Proporción"],
  problem: ["Problem", "Problema"],
  problems: ["Problems", "Problemas"],
  propensity: ["Propensity", "Propensión"],
  propensities: ["Propensities", "Propensiones"],
  decision: ["Decision", "Decisión"],
  threshold: ["Threshold", "Umbral"],
  thresholdAt: ["threshold {threshold}", "umbral {threshold}"],

  // The token.
  token: ["Token", "Token"],
  tokenHint: [
    "Whoever runs the service gives you one with the scope predict. It is kept in this tab, until you close it.",
    "Se lo entrega quien opera el servicio, con el permiso predict. Queda guardado en esta pestaña hasta que la "
      + "cierre.",
  ],
  open: ["Open", "Abrir"],

  // Fields.
  notStated: ["not stated", "sin declarar"],
  yesOrNo: ["yes or no", "sí o no"],
  oneOf: ["one of {count}", "uno de {count}"],
  between: ["{minimum} to {maximum}", "de {minimum} a {maximum}"],
  atLeast: ["at least {minimum}", "al menos {minimum}"],
  atMost: ["at most {maximum}", "a lo más {maximum}"],
  anyInteger: ["any whole number", "cualquier número entero"],
  anyNumber: ["any number", "cualquier número"],
  notANumber: ["must be a number", "debe ser un número"],

  // One row.
  theRow: ["The row", "La fila"],
  theAnswer: ["The answer", "La respuesta"],
  example: ["Back to the example", "Volver al ejemplo"],
  correct: ["Please correct: {fields}", "Corrija: {fields}"],
  gauge: [
    "Propensity {propensity} on a scale from 0 to 1; the threshold is {threshold}.",
    "Propensión de {propensity} en una escala de 0 a 1; el umbral es {threshold}.",
  ],
  reaches: ["It reaches the threshold of {threshold}.", "Alcanza el umbral de {threshold}."],
  staysBelow: ["It stays below the threshold of {threshold}.", "Queda bajo el umbral de {threshold}."],
  notExplained: [
    "This model is served in a form without exact contributions, so there is no explanation.",
    "Este modelo se sirve en una forma sin contribuciones exactas; por eso no hay explicación.",
  ],
  howItComesAbout: ["How it comes about", "Cómo se llega a ella"],
  waterfall: [
    "From {base}, the starting point, to {propensity}: what each field adds or takes away.",
    "Desde {base}, el punto de partida, hasta {propensity}: lo que cada campo suma o resta.",
  ],
  logOdds: [
    "It starts where nothing is known of the row. Contributions are log-odds, in which they add up; the axis shows the "
      + "propensities that belong to them.",
    "Parte sin saber nada de la fila. Las contribuciones están en log-odds, que se suman; el eje muestra las "
      + "propensiones correspondientes.",
  ],
  base: ["Starting point", "Punto de partida"],
  otherFields: ["{count} other fields", "otros {count} campos"],
  contribution: ["Contribution", "Contribución"],
  contributions: ["Contributions in log-odds", "Contribuciones en log-odds"],
  reasons: ["What pushed it up most", "Lo que más la elevó"],
  noReasons: ["No field pushed it up.", "Ningún campo la elevó."],

  // What if.
  showsTheModel: [
    "This shows the model: what it would answer to this {row} if one or two values were others and all else stayed. It "
      + "does not say what would come true if somebody changed them, and is no advice to anybody the {row} is about.",
    "Esto muestra el modelo: lo que respondería a esta fila si uno o dos valores fueran otros y todo lo demás "
      + "quedara igual. No dice qué ocurriría si alguien los cambiara, ni es un consejo para las personas de "
      + "quienes trata.",
  ],
  secondField: ["And a second field", "Y un segundo campo"],
  from: ["From", "Desde"],
  to: ["To", "Hasta"],
  emptyRange: [
    "The range is empty: “from” must be below “to”.",
    "El rango está vacío: «desde» debe ser menor que «hasta».",
  ],
  rowIsNotValid: ["The row is not valid; look at: {fields}", "La fila no es válida; revise: {fields}"],
  presentValue: ["now {value}", "ahora {value}"],
  overTheRange: [
    "Lowest: {least} ({at}). Highest: {most} ({then}).",
    "Mínimo: {least} ({at}). Máximo: {most} ({then}).",
  ],
  sameOverTheRange: ["It is {least} throughout.", "Es {least} en todo el rango."],
  presently: ["Now: {propensity} ({value}).", "Ahora: {propensity} ({value})."],
  changes: ["The decision changes {places}.", "La decisión cambia {places}."],
  betweenValues: ["between {from} and {to}", "entre {from} y {to}"],
  changesNowhere: ["The decision is {decision} everywhere.", "La decisión es {decision} en todo el rango."],
  twoFields: ["{first} and {second}", "{first} y {second}"],
  overBoth: [
    "Over {first} and {second}, the propensity goes from {least} to {most}; {share} of the cells reach the "
      + "threshold of {threshold}.",
    "Según {first} y {second}, la propensión va de {least} a {most}; un {share} de las celdas alcanza el umbral de "
      + "{threshold}.",
  ],
  heatMapHint: [
    "The stronger the colour, the higher the propensity. The line runs where the decision changes; the frame is the "
      + "row as it is.",
    "Mientras más intenso el color, más alta la propensión. La línea marca dónde cambia la decisión; el recuadro "
      + "es la fila tal como está.",
  ],
  leftOut: ["{count} more values are not shown.", "No se muestran otros {count} valores."],

  // A file.
  dropHere: ["Drop a file here, or choose one", "Arrastre un archivo hasta aquí o elija uno"],
  fileHint: [
    "CSV with a header, NDJSON, or Parquet; one column for each field. It is read here and sent to this service in "
      + "pieces.",
    "CSV con encabezado, NDJSON o Parquet; una columna por campo. Se lee aquí y se envía por partes a este servicio.",
  ],
  reading: ["Reading {name}…", "Leyendo {name}…"],
  progress: ["Progress", "Avance"],
  rowsSoFar: ["{rows} rows", "{rows} filas"],
  stop: ["Stop", "Detener"],
  scoring: ["Predicting {name}…", "Prediciendo {name}…"],
  serviceIsBusy: [
    "The service is busy; {name} goes on in a moment.",
    "El servicio está ocupado; {name} sigue en un momento.",
  ],
  scored: ["{name}: {rows} rows, all predicted.", "{name}: {rows} filas, todas con predicción."],
  scoredWithProblems: [
    "{name}: {rows} rows, {problems} of them with a problem in place of a prediction.",
    "{name}: {rows} filas, {problems} de ellas con un problema en vez de una predicción.",
  ],
  stopped: ["Stopped after {rows} rows of {name}.", "Detenido después de {rows} filas de {name}."],
  histogram: [
    "Propensities of {rows} rows; {share} reach the threshold of {threshold}.",
    "Propensiones de {rows} filas; un {share} alcanza el umbral de {threshold}.",
  ],
  sides: ["Either side of the threshold", "A cada lado del umbral"],
  side: ["Side", "Lado"],
  belowThreshold: ["below the threshold: {decision}", "bajo el umbral: {decision}"],
  fromThreshold: ["at or above it: {decision}", "igual o sobre el umbral: {decision}"],
  problemsOfRows: ["Rows without a prediction", "Filas sin predicción"],
  moreProblems: [
    "Of {count} rows with problems, the first are shown; the download has them all.",
    "De {count} filas con problemas se muestran las primeras; la descarga las trae todas.",
  ],
  download: ["Download the predictions (CSV)", "Descargar las predicciones (CSV)"],
  unknownColumns: ["Not a field of this model: {names}", "No es un campo de este modelo: {names}"],
  correctTheFile: [
    "One such column may name the rows. Correct the others, or leave them out.",
    "Una columna así puede identificar las filas. Corrija las demás o quítelas.",
  ],
  takeAsId: ["{name} names the rows: take it along", "{name} identifica las filas: conservarla"],
  unknownKind: [
    "The name of the file must end in one of {kinds}.",
    "El nombre del archivo debe terminar en uno de {kinds}.",
  ],
  noRows: ["The file holds no rows; choose another one.", "El archivo no contiene filas; elija otro."],
  columnTwice: [
    "Columns that stand twice: {names}. Keep one of each.",
    "Columnas repetidas: {names}. Deje una sola de cada una.",
  ],
  columnMissing: [
    "Columns that are required and missing: {names}. Names are those of requests, which the tab of the model lists.",
    "Columnas obligatorias que faltan: {names}. Los nombres son los de las consultas, que están en la pestaña del "
      + "modelo.",
  ],
  separator: [
    "{separator} stands between the cells; save the file with commas.",
    "Las celdas están separadas por {separator}; guarde el archivo con comas.",
  ],
  utf16: ["The file is UTF-16; save it as UTF-8.", "El archivo está en UTF-16; guárdelo en UTF-8."],
  notUtf8: [
    "Line {line} is not UTF-8; save the file as CSV UTF-8.",
    "La línea {line} no está en UTF-8; guarde el archivo como CSV UTF-8.",
  ],
  longLine: [
    "Line {line} is longer than {bytes} bytes, more than any row: is a line break missing?",
    "La línea {line} tiene más de {bytes} bytes, más que cualquier fila: ¿falta un salto de línea?",
  ],
  strayQuote: [
    "Line {line}, the header, has a stray quote; put each name with a quote or comma in quotes.",
    "La línea {line}, el encabezado, tiene una comilla suelta; ponga entre comillas los nombres con comillas o comas.",
  ],
  strayQuoteInRow: [
    "has a stray quote: a quoted cell must end on its line, before a comma, with quotes inside it doubled",
    "tiene una comilla suelta: una celda entre comillas debe terminar en su línea, antes de una coma, y duplicar "
      + "las comillas internas",
  ],
  cellCount: ["has {cells} cells, the header {header}", "tiene {cells} celdas y el encabezado {header}"],
  nul: ["holds a NUL", "contiene un carácter NUL"],
  codec: [
    "The file is compressed with {codec}; write it with Snappy, GZIP or no compression.",
    "El archivo está comprimido con {codec}; genérelo con Snappy, con GZIP o sin compresión.",
  ],
  notParquet: [
    "The file can't be read as Parquet; write it once more.",
    "El archivo no se puede leer como Parquet; genérelo de nuevo.",
  ],
  nestedColumn: [
    "Column {name} holds lists or structures; write one value a cell.",
    "La columna {name} contiene listas o estructuras; deje un valor por celda.",
  ],
  columnType: [
    "Column {name} holds neither numbers nor texts nor true and false; convert it.",
    "La columna {name} no contiene números, textos ni verdadero o falso; conviértala.",
  ],
  encoding: [
    "Column {name} is encoded as {encoding}; write the file with dictionary or plain encoding.",
    "La columna {name} está codificada como {encoding}; genere el archivo con codificación plain o de diccionario.",
  ],

  // The model.
  purpose: ["What it is for", "Para qué sirve"],
  model: ["Model", "Modelo"],
  algorithm: ["Algorithm", "Algoritmo"],
  chosenOn: ["Threshold chosen on", "Umbral elegido con"],
  below: ["Decision below the threshold", "Decisión bajo el umbral"],
  fromOn: ["Decision at or above it", "Decisión igual o sobre el umbral"],
  costs: ["Costs", "Costos"],
  costsOf: [
    "a missed positive {missed}, a false alarm {alarm}",
    "un positivo no detectado {missed}, una falsa alarma {alarm}",
  ],
  figures: ["Figures", "Cifras"],
  figure: ["Figure", "Cifra"],
  ofTheHoldout: [
    "Of the hold-out set: {rows} rows that took no part in any choice, {positives} of them positive.",
    "De la muestra reservada: {rows} filas que no participaron en ninguna elección, {positives} de ellas positivas.",
  ],
  aucName: ["AUC", "AUC"],
  aucMeaning: [
    "how often a positive row ranks above a negative one",
    "con qué frecuencia una fila positiva queda sobre una negativa",
  ],
  giniName: ["Gini", "Gini"],
  giniMeaning: ["2 AUC − 1", "2 AUC − 1"],
  ksName: ["KS", "KS"],
  ksMeaning: [
    "largest distance between recall and false positive rate",
    "mayor distancia entre sensibilidad y tasa de falsos positivos",
  ],
  brierName: ["Brier score", "Puntaje de Brier"],
  brierMeaning: [
    "mean squared error of the propensity; lower is better",
    "error cuadrático medio de la propensión; menor es mejor",
  ],
  log_lossName: ["Log loss", "Pérdida logarítmica"],
  log_lossMeaning: ["lower is better", "menor es mejor"],
  average_precisionName: ["Average precision", "Precisión media"],
  average_precisionMeaning: ["area below precision over recall", "área bajo la curva de precisión y sensibilidad"],
  cost_per_rowName: ["Cost per row", "Costo por fila"],
  cost_per_rowMeaning: ["at the threshold, with the costs above", "en el umbral, con los costos indicados arriba"],
  selectedName: ["Selected", "Seleccionadas"],
  selectedMeaning: ["share that reaches the threshold", "proporción que alcanza el umbral"],
  recallName: ["Recall", "Sensibilidad"],
  recallMeaning: [
    "share of the positive rows that reaches the threshold",
    "proporción de las filas positivas que alcanza el umbral",
  ],
  false_positive_rateName: ["False positive rate", "Tasa de falsos positivos"],
  false_positive_rateMeaning: [
    "share of the negative rows that reaches the threshold",
    "proporción de las filas negativas que alcanza el umbral",
  ],
  confusion: ["Decisions and outcomes", "Decisiones y resultados"],
  actuallyNegative: ["actually negative", "en realidad negativas"],
  actuallyPositive: ["actually positive", "en realidad positivas"],
  curves: ["Calibration and ranking", "Calibración y ordenamiento"],
  calibration: ["Calibration", "Calibración"],
  meanPropensity: ["Mean propensity", "Propensión media"],
  positiveRate: ["Share of positives", "Proporción de positivas"],
  calibrationLabel: [
    "Calibration curve of {count} quantiles of the hold-out set",
    "Curva de calibración de {count} cuantiles de la muestra reservada",
  ],
  calibrationHint: [
    "On the diagonal, the propensity is what came true.",
    "En la diagonal, la propensión es lo que se cumplió.",
  ],
  roc: ["ROC curve", "Curva ROC"],
  rocLabel: [
    "ROC curve of the hold-out set; its area is {auc}",
    "Curva ROC de la muestra reservada; su área es {auc}",
  ],
  rocHint: ["The dot is the threshold.", "El punto es el umbral."],
  notRecorded: ["not recorded", "sin registro"],
  groups: ["Groups", "Grupos"],
  group: ["Group", "Grupo"],
  inRequests: ["In requests", "En las consultas"],
  takes: ["Takes", "Acepta"],
  unit: ["Unit", "Unidad"],
  mayBeMissing: ["May be missing", "Puede faltar"],
  description: ["Description", "Descripción"],
  drift: ["Drift since the start", "Cambio de la población desde el inicio"],
  driftHint: [
    "How far the rows since this instance started differ from the hold-out set (population stability index). Rows that "
      + "are tried on this page count too.",
    "Cuánto difieren de la muestra reservada las filas recibidas desde que partió esta instancia (índice de "
      + "estabilidad poblacional). También cuentan las filas que se prueban en esta página.",
  ],
  psi: ["PSI", "PSI"],
  judgement: ["Judgement", "Lectura"],
  missingShare: ["Missing", "Faltantes"],
  same: ["the same", "igual"],
  noticed: ["worth a look", "para revisar"],
  moved: ["another population", "otra población"],
  noRowsSoFar: ["No rows have been predicted so far.", "Aún no se ha predicho ninguna fila."],
  scopeMissing: [
    "This token lacks the scope metrics, which drift needs.",
    "A este token le falta el permiso metrics, necesario para ver esto.",
  ],
  noMetrics: ["This service has no metrics.", "Este servicio no tiene métricas."],
  form: ["Form and signature", "Forma y firma"],
  servedAs: ["Served as", "Se sirve como"],
  form_grids: ["grids of trees", "grillas de árboles"],
  form_tables: ["tables of trees", "tablas de árboles"],
  form_additive: ["a sum of functions of one field each", "una suma de funciones de un campo cada una"],
  form_mixture: ["a mean of compiled forms", "un promedio de formas compiladas"],
  form_forest: ["a compiled forest", "un bosque compilado"],
  form_pipeline: ["the pipeline itself", "el pipeline mismo"],
  parity: ["Parity with the pipeline", "Paridad con el pipeline"],
  parityOf: [
    "{rows} rows, largest difference {difference}, {changed} decisions changed",
    "{rows} filas, mayor diferencia {difference}, {changed} decisiones distintas",
  ],
  noParity: ["not needed: it is the pipeline", "no hace falta: es el pipeline"],
  signature: ["Signature", "Firma"],
  isVerified: ["verified by this service", "verificada por este servicio"],
  isNotVerified: [
    "not verified: this service has no public key",
    "sin verificar: este servicio no tiene clave pública",
  ],
  digestOfForm: ["SHA-256 of what is served", "SHA-256 de lo que se sirve"],
  digestOfFile: ["SHA-256 of the pickle", "SHA-256 del pickle"],
  digestOfHoldout: ["SHA-256 of the hold-out set", "SHA-256 de la muestra reservada"],
  passedOver: ["Faster forms that it is not served in", "Formas más rápidas en que no se sirve"],
  origin: ["Where it comes from", "De dónde viene"],
  trained: ["Trained", "Entrenado"],
  trainingSeconds: ["Seconds of training", "Segundos de entrenamiento"],
  target: ["Outcome", "Resultado"],
  targetOf: [
    "{name}: {positive} is positive, {negative} negative",
    "{name}: {positive} es positivo y {negative}, negativo",
  ],
  seed: ["Seed", "Semilla"],
  libraries: ["Libraries", "Bibliotecas"],
  alsoStated: ["What the manifest also states", "Lo que el manifiesto declara además"],
  asJson: ["The card as JSON", "La ficha como JSON"],
};

/** Problems of the service by kind; where one is not among them, its own detail is shown. */
const PROBLEMS = {
  unreachable: ["The service can't be reached. Try again.", "No se puede llegar al servicio. Intente de nuevo."],
  unauthenticated: [
    "This token is not valid, or not any more. Enter another one.",
    "Este token no es válido o dejó de serlo. Ingrese otro.",
  ],
  forbidden: [
    "This token lacks the scope predict. Enter one that has it.",
    "A este token le falta el permiso predict. Ingrese uno que lo tenga.",
  ],
  overloaded: ["The service is busy. One moment…", "El servicio está ocupado. Un momento…"],
  "rate-limited": [
    "You have used up your share of requests. One moment…",
    "Usted ya usó su cuota de consultas. Un momento…",
  ],
  late: ["The service was too slow. Try again.", "El servicio demoró demasiado. Intente de nuevo."],
  "not-ready": [
    "The service is starting or stopping. One moment…",
    "El servicio está partiendo o deteniéndose. Un momento…",
  ],
  "keys-unavailable": [
    "The token can't be verified at the moment. Try again in a while.",
    "Por ahora no se puede verificar el token. Intente en un rato más.",
  ],
  "model-failed": [
    "The model failed on this row; the service has logged why.",
    "El modelo falló con esta fila; el servicio registró por qué.",
  ],
  unexpected: ["A fault of the service; it has been logged.", "Una falla del servicio; quedó registrada."],
};

/** What the service says of a field, in Spanish. */
const WRONG = [
  [/^must be true or false$/, "debe ser verdadero o falso"],
  [/^is not a field of this API.*$/, "no es un campo de este modelo; revise cómo está escrito o quítelo"],
  [/^must be a finite number; .*$/, "debe ser un número finito; donde el campo lo permite, déjelo vacío si falta"],
  [/^must be a finite number$/, "debe ser un número finito"],
  [/^must be a whole number$/, "debe ser un número entero"],
  [/^must be at least (\S+)$/, "debe ser al menos $1"],
  [/^must be at most (\S+)$/, "debe ser a lo más $1"],
  [/^must be one of (\d+) categories, .*$/, "debe ser una de las $1 categorías del modelo"],
  [/^must be one of (.+) or (.+)$/, "debe ser uno de $1 o $2"],
  [/^must be (one of )?('.+'|".+")$/, "debe ser $2"],
  [/^is required and missing$/, "es obligatorio y falta"],
  [/^must be an object$/, "debe ser un objeto"],
  [/^must be an array$/, "debe ser una lista"],
  [/^must hold at most (\S+) .*$/, "debe tener a lo más $1 filas"],
  [/^must hold at least (\S+) .*$/, "debe tener al menos $1 fila"],
];

const LANGUAGES = ["en", "es"];
const LOCALES = {en: "en-US", es: "es-CL"};
const CHOSEN = "propensity-language";

let present = sessionStorage.getItem(CHOSEN)
  ?? navigator.languages.map((each) => each.slice(0, 2).toLowerCase()).find((each) => LANGUAGES.includes(each))
  ?? "en";

export const language = () => present;
export const otherLanguage = () => LANGUAGES.find((each) => each !== present);
export const languageName = (of) => ({en: "English", es: "Español"})[of];

/** Speak another language, in this tab. */
export function setLanguage(chosen) {
  present = chosen;
  sessionStorage.setItem(CHOSEN, chosen);
}

const of = (words) => words[LANGUAGES.indexOf(present)];

export const knows = (key) => Object.hasOwn(WORDS, key);

/** Return words, with values in the places that their names mark. */
export function say(key, values = {}) {
  if (!knows(key)) throw new Error(`no words for ${key}`);
  return of(WORDS[key]).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Return what is wrong with a request. */
export function problemInWords(error) {
  const words = PROBLEMS[error.kind];
  return words ? of(words) : error.problem.detail;
}

/** Return what the service says of a field, as the page speaks. */
export function wrongInWords(detail) {
  if (present === "en") return detail;
  const known = WRONG.find(([pattern]) => pattern.test(detail));
  return known ? detail.replace(...known) : detail;
}

export const decisionInWords = (decision) => decision.replaceAll("_", " ");

const number = (value, options) => new Intl.NumberFormat(LOCALES[present], options).format(value);

/** Return a number as people write it, with as many digits of a fraction as are read. */
export function inPlain(value) {
  const size = Math.abs(value);
  const isScientific = size !== 0 && (size < 1e-4 || size >= 1e15);
  return number(value,
    isScientific ? {notation: "scientific", maximumFractionDigits: 3}
      : Number.isInteger(value) ? {} : {maximumSignificantDigits: 6});
}

/** Return a figure with as many digits as are of use. */
export const inFigure = (value) => number(value, {maximumSignificantDigits: 4});

export const inThousandths = (value) => number(value, {minimumFractionDigits: 3, maximumFractionDigits: 3});

/** Return a share in percent; close to 0 and 1, where a tenth would say little, more precisely. */
export function inPercent(share, digits = share > 0.0095 && share < 0.9905 ? 1 : 2) {
  return number(share, {style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits});
}

/** Return a contribution with its sign. */
export const inSign = (value) =>
  number(value, {signDisplay: "exceptZero", minimumFractionDigits: 2, maximumFractionDigits: 2});

export function inDate(moment) {
  const format = new Intl.DateTimeFormat(LOCALES[present], {dateStyle: "long", timeStyle: "short", timeZone: "UTC"});
  return `${format.format(new Date(moment))} UTC`;
}
